with source as (

    {{ tidemark.contract_rows(source('raw', 'web_teams')) }}

),

final as (

    select
        team_id,
        name,
        is_enabled,
        enabled_at,
        updated_at as loaded_at,
        case
            {{ tidemark.unfit_values(source('raw', 'web_teams')) }}
            when team_id is null then 'team_id is null'
        end as quarantine_reason
    from source

)

select * from final

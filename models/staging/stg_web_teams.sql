with source as (

    select * from {{ source('raw', 'web_teams') }}

),

final as (

    select
        team_id,
        name,
        is_enabled,
        enabled_at,
        updated_at as loaded_at,
        {{ failed_values() }}
        case
            {{ when_failed_values() }}
            when team_id is null then 'team_id is null'
        end as quarantine_reason
    from source

)

select * from final

{{ config(incremental_strategy='full', transient=true, unique_key='team_id') }}

with teams as (

    select * from {{ ref('stg_web_teams') }}
    where {{ tidemark.valid_and_visible() }}
    qualify {{ tidemark.latest_version(ref('stg_web_teams')) }}

),

final as (

    select
        team_id,
        name,
        coalesce(is_enabled, false) as is_enabled,
        enabled_at,
        {{ tidemark.as_of() }} as record_loaded_at
    from teams

)

select * from final

{{ config(incremental_strategy='whole', transient=true, unique_key='team_id') }}

with teams as (

    select * from {{ ref('stg_web_teams') }}
    where {{ valid_and_visible() }}
    qualify {{ latest_version(ref('stg_web_teams')) }}

),

final as (

    select
        team_id,
        name,
        coalesce(is_enabled, false) as is_enabled,
        enabled_at,
        {{ as_of() }} as record_loaded_at
    from teams

)

select * from final

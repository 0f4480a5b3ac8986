{{ config(materialized='view') }}

with bounces as (

    select * from {{ ref('web_hourly_bounces') }}

),

teams as (

    select * from {{ ref('dim_web_teams') }}

),

final as (

    select
        bounces.team_id,
        bounces.period_bucket,
        bounces.host,
        bounces.device_type,
        bounces.pathname,
        bounces.browser,
        bounces.os,
        bounces.referring_domain,
        bounces.utm_source,
        bounces.utm_medium,
        bounces.utm_campaign,
        bounces.country_code,
        bounces.sessions,
        bounces.persons,
        bounces.bounces,
        bounces.total_session_duration,
        bounces.record_loaded_at
    from bounces
    inner join teams on bounces.team_id = teams.team_id
    where teams.is_enabled

)

select * from final

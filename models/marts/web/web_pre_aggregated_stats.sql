{{ config(materialized='view') }}

with stats as (

    select * from {{ ref('web_hourly_stats') }}

),

teams as (

    select * from {{ ref('dim_web_teams') }}

),

final as (

    select
        stats.team_id,
        stats.period_bucket,
        stats.host,
        stats.device_type,
        stats.pathname,
        stats.browser,
        stats.os,
        stats.referring_domain,
        stats.utm_source,
        stats.utm_medium,
        stats.utm_campaign,
        stats.country_code,
        stats.pageviews,
        stats.sessions,
        stats.persons,
        stats.record_loaded_at
    from stats
    inner join teams on stats.team_id = teams.team_id
    where teams.is_enabled and stats.pageviews > 0

)

select * from final

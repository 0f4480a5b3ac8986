-- Sessions with a view, in the hour of their first event of any kind.
select
    team_id,
    period_bucket,
    host,
    device_type,
    pathname,
    browser,
    os,
    referring_domain,
    utm_source,
    utm_medium,
    utm_campaign,
    country_code,
    count(*) as sessions,
    count(distinct person_id) as persons,
    count(*) filter (where is_bounce) as bounces,
    sum(duration_seconds) as total_session_duration
from web_sessions
where pageviews > 0
group by all

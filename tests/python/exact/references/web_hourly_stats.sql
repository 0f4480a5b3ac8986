select
    team_id,
    date_trunc('hour', happened_at) as period_bucket,
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
    count(*) as pageviews,
    count(distinct session_id) as sessions,
    count(distinct person_id) as persons
from web_events_versions
where is_current and is_view
group by all

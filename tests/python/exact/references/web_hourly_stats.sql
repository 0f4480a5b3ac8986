-- Every hour and place with any event, of all teams.
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
    count(*) filter (where is_view) as pageviews,
    count(distinct session_id) filter (where is_view) as sessions,
    count(distinct person_id) filter (where is_view) as persons,
    count(*) as event_rows
from web_events_versions
where is_current
group by all

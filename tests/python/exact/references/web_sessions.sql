-- Sessions, each with the dimensions of its first view.
with sessions as (

    select
        team_id,
        session_id,
        min(happened_at) as session_start,
        max(happened_at) as session_end,
        count(*) as total_events,
        count(*) filter (where is_view) as pageviews,
        count(*) filter (where event = '$autocapture') as autocaptures
    from web_events_versions
    where is_current and session_id is not null
    group by team_id, session_id

),

first_views as (

    select * from web_events_versions
    where is_current and is_view and session_id is not null
    qualify row_number() over (partition by team_id, session_id order by happened_at, event_id) = 1

)

select
    sessions.*,
    date_trunc('hour', sessions.session_start) as period_bucket,
    date_diff('second', sessions.session_start, sessions.session_end) as duration_seconds,
    sessions.pageviews + sessions.autocaptures <= 1
    and date_diff('millisecond', sessions.session_start, sessions.session_end) < 10000 as is_bounce,
    views.person_id,
    views.host,
    views.device_type,
    views.pathname,
    views.browser,
    views.os,
    views.referring_domain,
    views.utm_source,
    views.utm_medium,
    views.utm_campaign,
    views.country_code
from sessions
left join first_views as views using (team_id, session_id)

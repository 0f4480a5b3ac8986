-- Sessions in the hour of their first event, with the dimensions of their first view.
with sessions as (

    select
        team_id,
        session_id,
        min(happened_at) as session_start,
        max(happened_at) as session_end,
        count(*) filter (where is_view or event = '$autocapture') as things_done
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
    views.team_id,
    date_trunc('hour', sessions.session_start) as period_bucket,
    views.host,
    views.device_type,
    views.pathname,
    views.browser,
    views.os,
    views.referring_domain,
    views.utm_source,
    views.utm_medium,
    views.utm_campaign,
    views.country_code,
    count(*) as sessions,
    count(distinct views.person_id) as persons,
    count(*) filter (
        where sessions.things_done <= 1
        and date_diff('millisecond', sessions.session_start, sessions.session_end) < 10000
    ) as bounces,
    sum(date_diff('second', sessions.session_start, sessions.session_end)) as total_session_duration
from first_views as views
inner join sessions using (team_id, session_id)
group by all

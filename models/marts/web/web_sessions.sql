{{ config(incremental_strategy='sessions', cluster_by='to_date(session_start)') }}

with events as (

    select * from {{ ref('stg_web_events') }}
    where {{ tidemark.touched_sessions(
        ref('stg_web_events'), entity='team_id', session='session_id', first='session_start', last='session_end'
    ) }}
    qualify {{ tidemark.latest_version(ref('stg_web_events')) }}

),

-- after the deduplication: an event may have left the session
session_events as (

    select
        *,
        event in ('$pageview', '$screen') as is_view
    from events
    where {{ tidemark.is_touched_session('team_id', 'session_id') }}

),

totals as (

    select
        team_id,
        session_id,
        min(occurred_at) as session_start,
        max(occurred_at) as session_end,
        count(*) as total_events,
        count(case when is_view then 1 end) as pageviews,
        count(case when event = '$autocapture' then 1 end) as autocaptures
    from session_events
    group by team_id, session_id

),

first_views as (

    select * from session_events
    where is_view
    qualify row_number() over (partition by team_id, session_id order by occurred_at, event_id) = 1

),

final as (

    select
        totals.team_id,
        totals.session_id,
        date_trunc('hour', totals.session_start) as period_bucket,
        totals.session_start,
        totals.session_end,
        cast({{ dbt.datediff('totals.session_start', 'totals.session_end', 'second') }} as bigint) as duration_seconds,
        totals.total_events,
        totals.pageviews,
        totals.autocaptures,
        totals.pageviews + totals.autocaptures <= {{ rule('bounce_views') }}
        and {{ dbt.datediff('totals.session_start', 'totals.session_end', 'millisecond') }}
        < {{ rule('bounce_seconds') * 1000 }} as is_bounce,
        first_views.person_id,
        first_views.host,
        first_views.device_type,
        first_views.pathname,
        first_views.browser,
        first_views.os,
        first_views.referring_domain,
        first_views.utm_source,
        first_views.utm_medium,
        first_views.utm_campaign,
        first_views.country_code,
        {{ tidemark.as_of() }} as record_loaded_at
    from totals
    left join first_views
        on
            totals.team_id = first_views.team_id
            and totals.session_id = first_views.session_id

)

select * from final

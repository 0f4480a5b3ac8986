{{ config(enabled='web' in var('domains')) }}

-- a session begins with an event, so where bounces has an hour of a team, stats has it; and the views of a day belong
-- to sessions that reach into that day
with stats as (

    select * from {{ ref('web_hourly_stats') }}

),

bounces as (

    select * from {{ ref('web_hourly_bounces') }}

),

sessions as (

    select * from {{ ref('web_sessions') }}
    where pageviews > 0

),

viewed_days as (

    select
        team_id,
        cast(period_bucket as date) as activity_date
    from stats
    where sessions > 0
    group by team_id, cast(period_bucket as date)

),

session_spans as (

    select
        team_id,
        cast(session_start as date) as first_day,
        cast(session_end as date) as last_day
    from sessions

),

session_days as (

    select distinct
        session_spans.team_id,
        {{ day_of('calendar', 'session_spans.first_day') }} as activity_date
    from session_spans
    cross join {{ each_day('session_spans.first_day', 'session_spans.last_day') }} as calendar

),

bounced_sessions as (

    select
        team_id,
        period_bucket,
        sum(sessions) as sessions
    from bounces
    group by team_id, period_bucket

),

begun_sessions as (

    select
        team_id,
        period_bucket,
        count(*) as sessions
    from sessions
    group by team_id, period_bucket

),

disagreements as (

    select
        team_id,
        period_bucket,
        'bounces has an hour that stats does not have' as disagreement
    from bounces
    where
        (team_id, period_bucket) not in (
            select
                stats.team_id,
                stats.period_bucket
            from stats
        )
    union all
    select
        team_id,
        cast(activity_date as {{ timestamp_type() }}) as period_bucket,
        'stats has a day with views that no session reaches into' as disagreement
    from viewed_days
    where
        (team_id, activity_date) not in (
            select
                session_days.team_id,
                session_days.activity_date
            from session_days
        )
    union all
    select
        coalesce(bounced_sessions.team_id, begun_sessions.team_id) as team_id,
        coalesce(bounced_sessions.period_bucket, begun_sessions.period_bucket) as period_bucket,
        'bounces counts other sessions than there are' as disagreement
    from bounced_sessions
    full outer join begun_sessions
        on
            bounced_sessions.team_id = begun_sessions.team_id
            and bounced_sessions.period_bucket = begun_sessions.period_bucket
    where bounced_sessions.sessions is distinct from begun_sessions.sessions

),

final as (

    select * from disagreements
    where {{ known_alike(['web_hourly_stats', 'web_sessions', 'web_hourly_bounces']) }}

)

select * from final

{{ config(group='web', enabled='web' in var('domains')) }}

{% set tables = ['web_hourly_stats', 'web_sessions', 'web_hourly_bounces'] %}

-- a session begins with an event, so where bounces has an hour of a team, stats has it; and the views of a day belong
-- to sessions that reach into that day
with stats as (

    select * from {{ ref('web_hourly_stats') }}
    where {{ tidemark.written_days('period_bucket', tables) }}

),

bounces as (

    select * from {{ ref('web_hourly_bounces') }}
    where {{ tidemark.written_days('period_bucket', tables) }}

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

-- how far the sessions reach that begin on a day; not day by day, since one may last for years
session_spans as (

    select
        team_id,
        cast(session_start as date) as activity_date,
        max(cast(session_end as date)) as last_day
    from sessions
    group by team_id, cast(session_start as date)

),

days_and_spans as (

    select
        team_id,
        activity_date,
        true as is_viewed,
        cast(null as date) as last_day
    from viewed_days
    union all
    select
        team_id,
        activity_date,
        false as is_viewed,
        last_day
    from session_spans

),

reached_days as (

    select
        team_id,
        activity_date,
        is_viewed,
        max(last_day) over (partition by team_id order by activity_date) as reached_until
    from days_and_spans

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
    where {{ tidemark.written_days('period_bucket', tables) }}
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
        cast(activity_date as {{ tidemark.timestamp_type() }}) as period_bucket,
        'stats has a day with views that no session reaches into' as disagreement
    from reached_days
    where is_viewed and coalesce(reached_until < activity_date, true)
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
    where {{ tidemark.known_alike(['web_hourly_stats', 'web_sessions', 'web_hourly_bounces']) }}

)

select * from final

{{ config(enabled='learning' in var('domains')) }}

with minutes as (

    select * from {{ ref('minute_metrics') }}
    where session_id is not null

),

sessions as (

    select * from {{ ref('session_metrics') }}

),

-- in a build those that it wrote: whole, on however many days their minutes lie
tested_sessions as (

    select
        learner_id,
        session_id
    from minutes
    where {{ tidemark.written_days('minute_timestamp', ['minute_metrics', 'session_metrics']) }}
    union
    select
        learner_id,
        session_id
    from sessions
    where {{ tidemark.written_days('session_start', ['minute_metrics', 'session_metrics']) }}

),

sums as (

    select
        learner_id,
        session_id,
        min(minute_timestamp) as first_minute,
        max(minute_timestamp) as last_minute,
        sum(total_events) as total_events,
        sum(interactions) as total_interactions,
        sum(lessons_started) as lessons_attempted,
        sum(lessons_completed) as lessons_completed,
        sum(assessments_started) as assessments_attempted,
        sum(assessments_completed) as assessments_completed
    from minutes
    where
        (learner_id, session_id) in (
            select
                tested_sessions.learner_id,
                tested_sessions.session_id
            from tested_sessions
        )
    group by learner_id, session_id

),

stored_sessions as (

    select * from sessions
    where
        (learner_id, session_id) in (
            select
                tested_sessions.learner_id,
                tested_sessions.session_id
            from tested_sessions
        )

),

final as (

    select
        coalesce(sums.learner_id, sessions.learner_id) as learner_id,
        coalesce(sums.session_id, sessions.session_id) as session_id,
        sums.total_events as events_of_minutes,
        sessions.total_events
    from sums
    full outer join stored_sessions as sessions
        on
            sums.learner_id = sessions.learner_id
            and sums.session_id = sessions.session_id
    where
        (
            sums.first_minute is distinct from date_trunc('minute', sessions.session_start)
            or sums.last_minute is distinct from date_trunc('minute', sessions.session_end)
            or sums.total_events is distinct from sessions.total_events
            or sums.total_interactions is distinct from sessions.total_interactions
            or sums.lessons_attempted is distinct from sessions.lessons_attempted
            or sums.lessons_completed is distinct from sessions.lessons_completed
            or sums.assessments_attempted is distinct from sessions.assessments_attempted
            or sums.assessments_completed is distinct from sessions.assessments_completed
        )
        and {{ tidemark.known_alike(['minute_metrics', 'session_metrics']) }}

)

select * from final

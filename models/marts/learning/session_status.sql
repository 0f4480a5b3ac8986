{{ config(materialized='view') }}

with sessions as (

    select * from {{ ref('session_metrics') }}

),

clock as (

    select max(known_until) as known_until from {{ ref('etl_job_watermarks') }}
    where job_name = 'session_metrics'

),

final as (

    select
        sessions.session_id,
        sessions.learner_id,
        sessions.session_start,
        sessions.session_end,
        sessions.duration_seconds,
        sessions.total_events,
        sessions.unique_pages,
        sessions.total_interactions,
        sessions.lessons_attempted,
        sessions.lessons_completed,
        sessions.assessments_attempted,
        sessions.assessments_completed,
        sessions.avg_assessment_score,
        sessions.completion_rate,
        sessions.last_activity,
        sessions.last_activity
        >= {{ dbt.dateadd('minute', -1 * rule('session_idle_minutes'), 'clock.known_until') }} as is_active,
        clock.known_until,
        sessions.record_loaded_at
    from sessions
    cross join clock

)

select * from final

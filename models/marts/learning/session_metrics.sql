{{ config(incremental_strategy='sessions', cluster_by='to_date(session_start)') }}

with events as (

    select * from {{ ref('stg_learner_events') }}
    where {{ tidemark.touched_sessions(
        ref('stg_learner_events'), entity='learner_id', session='session_id', first='session_start', last='session_end'
    ) }}
    qualify {{ tidemark.latest_version(ref('stg_learner_events')) }}

),

-- after the deduplication: an event may have left the session
session_events as (

    select
        *,
        case when event_type = 'assessment_complete' then score end as assessment_score
    from events
    where {{ tidemark.is_touched_session('learner_id', 'session_id') }}

),

sessions as (

    select
        session_id,
        learner_id,
        min(occurred_at) as session_start,
        max(occurred_at) as session_end,
        count(*) as total_events,
        count(distinct page_id) as unique_pages,
        count(case when event_type = 'interaction' then 1 end) as total_interactions,
        count(case when event_type = 'lesson_start' then 1 end) as lessons_attempted,
        count(case when event_type = 'lesson_complete' then 1 end) as lessons_completed,
        count(case when event_type = 'assessment_start' then 1 end) as assessments_attempted,
        count(case when event_type = 'assessment_complete' then 1 end) as assessments_completed,
        {{ tidemark.ratio('sum(assessment_score)', 'count(assessment_score)', decimals=4, scale=6) }}
            as avg_assessment_score
    from session_events
    group by session_id, learner_id

),

final as (

    select
        session_id,
        learner_id,
        session_start,
        session_end,
        cast({{ dbt.datediff('session_start', 'session_end', 'second') }} as bigint) as duration_seconds,
        total_events,
        unique_pages,
        total_interactions,
        lessons_attempted,
        lessons_completed,
        assessments_attempted,
        assessments_completed,
        cast(avg_assessment_score as decimal(18, 4)) as avg_assessment_score,
        cast(coalesce({{ tidemark.ratio(
            'lessons_completed + assessments_completed', 'lessons_attempted + assessments_attempted', decimals=4
        ) }}, 0) as decimal(18, 4)) as completion_rate,
        session_end as last_activity,
        {{ tidemark.as_of() }} as record_loaded_at
    from sessions

)

select * from final

with sessions as (

    select
        session_id,
        learner_id,
        min(happened_at) as session_start,
        max(happened_at) as session_end,
        count(*) as total_events,
        count(distinct page_id) as unique_pages,
        count(*) filter (where event_type = 'interaction') as total_interactions,
        count(*) filter (where event_type = 'lesson_start') as lessons_attempted,
        count(*) filter (where event_type = 'lesson_complete') as lessons_completed,
        count(*) filter (where event_type = 'assessment_start') as assessments_attempted,
        count(*) filter (where event_type = 'assessment_complete') as assessments_completed,
        sum(score) filter (where event_type = 'assessment_complete') as scores,
        count(score) filter (where event_type = 'assessment_complete') as scored
    from learner_events_versions
    where is_current and session_id is not null
    group by session_id, learner_id

)

select
    * exclude (scores, scored),
    date_diff('second', session_start, session_end) as duration_seconds,
    cast(round(scores / scored, 4) as decimal(18, 4)) as avg_assessment_score,
    cast(
        case
            when lessons_attempted + assessments_attempted = 0 then 0
            else
                round(
                    (lessons_completed + assessments_completed) / (lessons_attempted + assessments_attempted), 4
                )
        end as decimal(18, 4)
    ) as completion_rate,
    session_end as last_activity
from sessions

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
        cast(1000000 * sum(score) filter (where event_type = 'assessment_complete') as hugeint) as millionths,
        count(score) filter (where event_type = 'assessment_complete') as scored
    from learner_events_versions
    where is_current and session_id is not null
    group by session_id, learner_id

)

select
    * exclude (millionths, scored),
    date_diff('second', session_start, session_end) as duration_seconds,
    -- ten-thousandths, the nearest, of two the one further from zero; `/` would divide as double
    cast(
        cast(sign(millionths) * ((abs(millionths) + 50 * scored) // (100 * scored)) as decimal(34, 0)) * 0.0001
        as decimal(18, 4)
    ) as avg_assessment_score,
    cast(
        case
            when lessons_attempted + assessments_attempted = 0 then 0
            else (
                2 * 10000 * (lessons_completed + assessments_completed) + lessons_attempted + assessments_attempted
            ) // (2 * (lessons_attempted + assessments_attempted)) * 0.0001
        end as decimal(18, 4)
    ) as completion_rate,
    session_end as last_activity
from sessions

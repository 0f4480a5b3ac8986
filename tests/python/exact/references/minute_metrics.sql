select
    learner_id,
    session_id,
    date_trunc('minute', happened_at) as minute_timestamp,
    count(*) as total_events,
    count(*) filter (where event_type = 'page_view') as page_views,
    count(*) filter (where event_type = 'interaction') as interactions,
    count(*) filter (where event_type = 'assessment_start') as assessments_started,
    count(*) filter (where event_type = 'assessment_complete') as assessments_completed,
    count(*) filter (where event_type = 'lesson_start') as lessons_started,
    count(*) filter (where event_type = 'lesson_complete') as lessons_completed,
    count(*) filter (where event_type = 'error') as errors,
    case
        when count(*) = 1 then 60
        else date_diff('second', min(happened_at), max(happened_at))
    end as time_spent_seconds,
    activity_date as partition_date
from learner_events_versions
where is_current
group by learner_id, session_id, minute_timestamp, activity_date

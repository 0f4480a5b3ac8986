-- What a learner did on a day, for the ninety days up to the clock's.
select
    learner_id,
    partition_date as activity_date,
    count(distinct session_id) as sessions,
    count(distinct minute_timestamp) as active_minutes,
    sum(time_spent_seconds) as time_spent_seconds,
    sum(total_events) as total_events,
    sum(page_views) as page_views,
    sum(interactions) as interactions,
    sum(assessments_started) as assessments_started,
    sum(assessments_completed) as assessments_completed,
    sum(lessons_started) as lessons_started,
    sum(lessons_completed) as lessons_completed,
    sum(errors) as errors,
    getvariable('as_of') as known_until
from minute_metrics
where
    partition_date > cast(getvariable('as_of') as date) - 90
    and partition_date <= cast(getvariable('as_of') as date)
group by learner_id, partition_date

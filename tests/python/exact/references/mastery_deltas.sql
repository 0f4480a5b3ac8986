-- The first attempt at a content, and every attempt that changed something.
with attempts as (

    select
        learner_id,
        assessment_id as content_id,
        event_id as trigger_event_id,
        happened_at as attempted_at,
        activity_date,
        case when max_score is null or max_score = 0 then score / 100 else score / max_score end as mastery
    from learner_events_versions
    where
        is_current
        and event_type = 'assessment_complete'
        and assessment_id is not null
        and score is not null

),

ordered as (

    select
        * exclude (mastery),
        cast(round(greatest(0, least(1, mastery)), 6) as decimal(9, 6)) as current_mastery,
        lag(current_mastery) over (
            partition by learner_id, content_id order by attempted_at, trigger_event_id
        ) as previous_mastery
    from attempts

)

select
    *,
    current_mastery - coalesce(previous_mastery, 0) as mastery_delta,
    case
        when previous_mastery is null then 0.7
        else cast(least(1, 0.5 + 0.5 * abs(current_mastery - previous_mastery)) as decimal(8, 7))
    end as confidence_score
from ordered
where previous_mastery is null or previous_mastery <> current_mastery

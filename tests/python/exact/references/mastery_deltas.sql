-- The first attempt at a content, and every attempt that changed something.
with attempts as (

    select
        learner_id,
        assessment_id as content_id,
        event_id as trigger_event_id,
        happened_at as attempted_at,
        activity_date,
        cast(1000000 * score as hugeint) as reached,
        cast(1000000 * case when max_score is null or max_score = 0 then 100 else max_score end as hugeint) as possible
    from learner_events_versions
    where
        is_current
        and event_type = 'assessment_complete'
        and assessment_id is not null
        and score is not null

),

ordered as (

    select
        * exclude (reached, possible),
        -- millionths, the nearest, of two the greater; `/` would divide as double
        cast(
            case
                when reached = 0 or sign(reached) <> sign(possible) then 0
                when abs(reached) >= abs(possible) then 1
                else cast(
                    (2000000 * abs(reached) + abs(possible)) // (2 * abs(possible)) as decimal(30, 0)
                ) * 0.000001
            end as decimal(9, 6)
        ) as current_mastery,
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

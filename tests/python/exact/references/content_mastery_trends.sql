-- What the attempts of a day changed in a content, for the ninety days up to the clock's.
select
    content_id,
    activity_date,
    count(distinct learner_id) as learners,
    count(*) filter (where previous_mastery is null) as first_attempts,
    count(*) filter (where current_mastery > previous_mastery) as improvements,
    count(*) filter (where current_mastery < previous_mastery) as declines,
    cast(sum(current_mastery) / count(*) as decimal(7, 6)) as average_mastery,
    cast(sum(mastery_delta) / count(*) as decimal(7, 6)) as average_mastery_delta,
    cast(sum(confidence_score) / count(*) as decimal(7, 6)) as average_confidence,
    getvariable('as_of') as known_until
from mastery_deltas
where
    activity_date > cast(getvariable('as_of') as date) - 90
    and activity_date <= cast(getvariable('as_of') as date)
group by content_id, activity_date

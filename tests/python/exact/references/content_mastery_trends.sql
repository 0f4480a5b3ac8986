-- What the attempts of a day changed in a content, for the ninety days up to the clock's. Averages are millionths, the
-- nearest, of two the one further from zero: `/` would divide as double.
select
    content_id,
    activity_date,
    count(distinct learner_id) as learners,
    count(*) filter (where previous_mastery is null) as first_attempts,
    count(*) filter (where current_mastery > previous_mastery) as improvements,
    count(*) filter (where current_mastery < previous_mastery) as declines,
    cast(
        sign(sum(current_mastery))
        * ((cast(2000000 * abs(sum(current_mastery)) as hugeint) + count(*)) // (2 * count(*)))
        * 0.000001
        as decimal(7, 6)
    ) as average_mastery,
    cast(
        sign(sum(mastery_delta))
        * ((cast(2000000 * abs(sum(mastery_delta)) as hugeint) + count(*)) // (2 * count(*)))
        * 0.000001
        as decimal(7, 6)
    ) as average_mastery_delta,
    cast(
        (cast(20000000 * sum(confidence_score) as hugeint) + 10 * count(*)) // (20 * count(*)) * 0.000001
        as decimal(7, 6)
    ) as average_confidence,
    getvariable('as_of') as known_until
from mastery_deltas
where
    activity_date > cast(getvariable('as_of') as date) - 90
    and activity_date <= cast(getvariable('as_of') as date)
group by content_id, activity_date

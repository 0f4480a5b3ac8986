-- Learners of each day, and how much their mastery changed: the sum of all changes, declines included.
with minutes as (

    select
        partition_date as activity_date,
        count(distinct learner_id) as learners,
        sum(time_spent_seconds) as seconds_spent
    from {{ ref('minute_metrics') }}
    where partition_date >= {{ tidemark.report_start() }}
    group by partition_date

),

deltas as (

    select
        activity_date,
        count(*) as attempts,
        sum(mastery_delta) as mastery_gained
    from {{ ref('mastery_deltas') }}
    where activity_date >= {{ tidemark.report_start() }}
    group by activity_date

),

first_days as (

    select min(partition_date) as first_day from {{ ref('minute_metrics') }}

),

days as (

    {{ tidemark.shown_days([ref('minute_metrics'), ref('mastery_deltas')]) }}

),

final as (

    select
        days.shown_day,
        days.day_state,
        case when days.day_state <> 'not known yet' then coalesce(minutes.learners, 0) end as learners,
        case when days.day_state <> 'not known yet' then coalesce(minutes.seconds_spent, 0) end as seconds_spent,
        case when days.day_state <> 'not known yet' then coalesce(deltas.attempts, 0) end as attempts,
        case when days.day_state <> 'not known yet' then coalesce(deltas.mastery_gained, 0) end as mastery_gained
    from days
    inner join first_days on days.shown_day >= first_days.first_day
    left join minutes on days.shown_day = minutes.activity_date
    left join deltas on days.shown_day = deltas.activity_date

)

select * from final
order by shown_day

{{ config(materialized='view') }}

with deltas as (

    select * from {{ ref('mastery_deltas') }}

),

clock as (

    select max(known_until) as known_until from {{ ref('etl_job_watermarks') }}
    where job_name = 'mastery_deltas'

),

final as (

    select
        deltas.content_id,
        deltas.activity_date,
        count(distinct deltas.learner_id) as learners,
        count(case when deltas.previous_mastery is null then 1 end) as first_attempts,
        count(case when deltas.mastery_delta > 0 and deltas.previous_mastery is not null then 1 end) as improvements,
        count(case when deltas.mastery_delta < 0 then 1 end) as declines,
        cast(
            {{ tidemark.ratio('sum(deltas.current_mastery)', 'count(*)', decimals=6, scale=6) }} as decimal(7, 6)
        ) as average_mastery,
        cast(
            {{ tidemark.ratio('sum(deltas.mastery_delta)', 'count(*)', decimals=6, scale=6) }} as decimal(7, 6)
        ) as average_mastery_delta,
        cast(
            {{ tidemark.ratio('sum(deltas.confidence_score)', 'count(*)', decimals=6, scale=7) }} as decimal(7, 6)
        ) as average_confidence,
        clock.known_until,
        max(deltas.record_loaded_at) as record_loaded_at
    from deltas
    inner join clock
        on
            deltas.activity_date
            >= {{ tidemark.days_after('cast(clock.known_until as date)', 1 - var('retention').bi_days) }}
            and deltas.activity_date <= cast(clock.known_until as date)
    group by deltas.content_id, deltas.activity_date, clock.known_until

)

select * from final

{{ config(materialized='view') }}

with minutes as (

    select * from {{ ref('minute_metrics') }}

),

clock as (

    select max(known_until) as known_until from {{ ref('etl_job_watermarks') }}
    where job_name = 'minute_metrics'

),

final as (

    select
        minutes.learner_id,
        minutes.partition_date as activity_date,
        count(distinct minutes.session_id) as sessions,
        count(distinct minutes.minute_timestamp) as active_minutes,
        cast(sum(minutes.time_spent_seconds) as bigint) as time_spent_seconds,
        cast(sum(minutes.total_events) as bigint) as total_events,
        cast(sum(minutes.page_views) as bigint) as page_views,
        cast(sum(minutes.interactions) as bigint) as interactions,
        cast(sum(minutes.assessments_started) as bigint) as assessments_started,
        cast(sum(minutes.assessments_completed) as bigint) as assessments_completed,
        cast(sum(minutes.lessons_started) as bigint) as lessons_started,
        cast(sum(minutes.lessons_completed) as bigint) as lessons_completed,
        cast(sum(minutes.errors) as bigint) as errors,
        clock.known_until,
        max(minutes.record_loaded_at) as record_loaded_at
    from minutes
    inner join clock
        on
            minutes.partition_date
            >= {{ tidemark.days_after('cast(clock.known_until as date)', 1 - var('retention').bi_days) }}
            and minutes.partition_date <= cast(clock.known_until as date)
    group by minutes.learner_id, minutes.partition_date, clock.known_until

)

select * from final

{{ config(cluster_by='partition_date') }}

with events as (

    select * from {{ ref('stg_learner_events') }}
    where {{ tidemark.touched_partitions(ref('stg_learner_events'), entity='learner_id', day='minute_timestamp') }}
    qualify {{ tidemark.latest_version(ref('stg_learner_events')) }}

),

final as (

    select
        learner_id,
        session_id,
        minute_timestamp,
        count(*) as total_events,
        count(case when event_type = 'page_view' then 1 end) as page_views,
        count(case when event_type = 'interaction' then 1 end) as interactions,
        count(case when event_type = 'assessment_start' then 1 end) as assessments_started,
        count(case when event_type = 'assessment_complete' then 1 end) as assessments_completed,
        count(case when event_type = 'lesson_start' then 1 end) as lessons_started,
        count(case when event_type = 'lesson_complete' then 1 end) as lessons_completed,
        count(case when event_type = 'error' then 1 end) as errors,
        case
            when count(*) = 1 then 60
            else cast({{ dbt.datediff('min(occurred_at)', 'max(occurred_at)', 'second') }} as integer)
        end as time_spent_seconds,
        cast(minute_timestamp as date) as partition_date,
        {{ tidemark.as_of() }} as record_loaded_at
    from events
    group by learner_id, session_id, minute_timestamp

)

select * from final

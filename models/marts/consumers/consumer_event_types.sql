{{ config(materialized='view') }}

with event_days as (

    select * from {{ ref('consumer_events_daily') }}

),

-- without a consumer: of all together
type_days as (

    select
        consumer_id,
        activity_date,
        event_type,
        sum(events) as events,
        max(record_loaded_at) as record_loaded_at
    from event_days
    group by rollup(activity_date, event_type, consumer_id)
    having event_type is not null

),

days as (

    select
        consumer_id,
        activity_date,
        max(record_loaded_at) as record_loaded_at
    from type_days
    group by consumer_id, activity_date

),

types as (

    select
        consumer_id,
        event_type,
        min(activity_date) as first_day
    from type_days
    group by consumer_id, event_type

),

totals as (

    select
        days.consumer_id,
        days.activity_date,
        days.record_loaded_at,
        types.event_type,
        cast(sum(coalesce(type_days.events, 0)) over (
            partition by days.consumer_id, types.event_type order by days.activity_date
        ) as bigint) as total_events
    from days
    inner join types
        on
            days.consumer_id is not distinct from types.consumer_id
            and days.activity_date >= types.first_day
    left join type_days
        on
            days.consumer_id is not distinct from type_days.consumer_id
            and days.activity_date = type_days.activity_date
            and types.event_type = type_days.event_type

),

final as (

    select
        consumer_id,
        activity_date,
        {{ json_object_of('event_type', 'total_events') }} as events_by_type,
        max(record_loaded_at) as record_loaded_at
    from totals
    group by consumer_id, activity_date

)

select * from final

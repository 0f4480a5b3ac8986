{{ config(materialized='view') }}

with totals as (

    select * from {{ ref('consumer_totals') }}

),

event_days as (

    select * from {{ ref('consumer_events_daily') }}

),

type_days as (

    select
        consumer_id,
        activity_date,
        event_type,
        events
    from event_days
    union all
    -- all together
    select
        null as consumer_id,
        activity_date,
        event_type,
        sum(events) as events
    from event_days
    group by activity_date, event_type

),

types as (

    select
        consumer_id,
        event_type,
        min(activity_date) as first_day
    from type_days
    group by consumer_id, event_type

),

type_totals as (

    select
        totals.*,
        types.event_type,
        cast(sum(coalesce(type_days.events, 0)) over (
            partition by totals.consumer_id, types.event_type order by totals.activity_date
        ) as bigint) as events_of_type
    from totals
    inner join types
        on
            totals.consumer_id is not distinct from types.consumer_id
            and totals.activity_date >= types.first_day
    left join type_days
        on
            totals.consumer_id is not distinct from type_days.consumer_id
            and totals.activity_date = type_days.activity_date
            and types.event_type = type_days.event_type

),

-- grouped by everything instead of joined back: so a filter on the consumer reaches the tables
final as (

    select
        consumer_id,
        activity_date,
        next_activity_date,
        total_events,
        {{ tidemark.json_object_of('event_type', 'events_of_type') }} as events_by_type,
        consumers_in_system,
        total_customers,
        active_customers,
        existing_since_total,
        record_loaded_at
    from type_totals
    group by
        consumer_id,
        activity_date,
        next_activity_date,
        total_events,
        consumers_in_system,
        total_customers,
        active_customers,
        existing_since_total,
        record_loaded_at

)

select * from final

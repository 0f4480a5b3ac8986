{{ config(materialized='view') }}

with event_days as (

    select * from {{ ref('consumer_events_daily') }}

),

customer_states as (

    select * from {{ ref('customer_states') }}

),

changes as (

    select
        consumer_id,
        activity_date,
        events,
        case
            when row_number() over (partition by consumer_id order by activity_date, event_type) = 1 then 1 else 0
        end as consumers_change,
        0 as customers_change,
        0 as active_change,
        0 as existing_since_change,
        record_loaded_at
    from event_days
    union all
    select
        consumer_id,
        activity_date,
        0 as events,
        0 as consumers_change,
        customers_change,
        active_change,
        existing_since_change,
        record_loaded_at
    from customer_states

),

day_changes as (

    select
        consumer_id,
        activity_date,
        sum(events) as events,
        sum(consumers_change) as consumers_change,
        sum(customers_change) as customers_change,
        sum(active_change) as active_change,
        sum(existing_since_change) as existing_since_change,
        max(record_loaded_at) as record_loaded_at
    from changes
    group by consumer_id, activity_date
    union all
    -- all together; a union and not a rollup, so that a query for one consumer reads only that
    select
        null as consumer_id,
        activity_date,
        sum(events) as events,
        sum(consumers_change) as consumers_change,
        sum(customers_change) as customers_change,
        sum(active_change) as active_change,
        sum(existing_since_change) as existing_since_change,
        max(record_loaded_at) as record_loaded_at
    from changes
    group by activity_date

),

totals as (

    select
        consumer_id,
        activity_date,
        lead(activity_date) over (partition by consumer_id order by activity_date) as next_activity_date,
        sum(events) over (partition by consumer_id order by activity_date) as total_events,
        sum(consumers_change) over (partition by consumer_id order by activity_date) as consumers_in_system,
        sum(customers_change) over (partition by consumer_id order by activity_date) as total_customers,
        sum(active_change) over (partition by consumer_id order by activity_date) as active_customers,
        sum(existing_since_change) over (partition by consumer_id order by activity_date) as existing_since_total,
        max(record_loaded_at) over (partition by consumer_id order by activity_date) as record_loaded_at
    from day_changes

),

final as (

    select
        consumer_id,
        activity_date,
        next_activity_date,
        cast(total_events as bigint) as total_events,
        cast(consumers_in_system as bigint) as consumers_in_system,
        cast(total_customers as bigint) as total_customers,
        cast(active_customers as bigint) as active_customers,
        cast(existing_since_total as bigint) as existing_since_total,
        record_loaded_at
    from totals

)

select * from final

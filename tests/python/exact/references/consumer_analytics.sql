-- One snapshot per consumer and day, at the day's end, and one of everybody.
with customers as (

    select
        consumer_id,
        activity_date,
        count(*) filter (where is_existing) as total_customers,
        count(*) filter (where is_active) as active_customers,
        coalesce(sum(date_diff('second', existing_since, activity_date + interval 1 day)), 0) as lifetime_seconds
    from customers_by_day
    group by grouping sets ((consumer_id, activity_date), (activity_date))

),

events_so_far as (

    select
        days.consumer_id,
        days.activity_date,
        daily.event_type,
        sum(daily.events) as events
    from (select distinct consumer_id, activity_date from customers_by_day) as days
    inner join consumer_events_daily as daily
        on daily.consumer_id = days.consumer_id
        and daily.activity_date <= days.activity_date
    group by
        grouping sets (
            (days.consumer_id, days.activity_date, daily.event_type), (days.activity_date, daily.event_type)
        )

),

events as (

    select
        consumer_id,
        activity_date,
        sum(events) as total_events,
        json('{' || string_agg(to_json(event_type) || ':' || events, ',' order by event_type) || '}') as events_by_type
    from events_so_far
    group by consumer_id, activity_date

),

consumers as (

    select activity_date, count(distinct consumer_id) as consumers_in_system
    from customers_by_day
    group by activity_date

),

snapshots as (

    select
        customers.*,
        customers.total_customers - customers.active_customers as inactive_customers,
        events.total_events,
        events.events_by_type,
        consumers.consumers_in_system,
        -- hundredths of a day, which are 864 seconds, the nearest; of two the greater
        cast(
            case
                when customers.total_customers = 0 then 0
                else cast(
                    (customers.lifetime_seconds + 432 * customers.total_customers)
                    // (864 * customers.total_customers) as decimal(34, 0)
                ) * 0.01
            end as decimal(18, 2)
        ) as avg_customer_lifetime_days,
        cast(
            case
                when customers.total_customers = 0 then 0
                else (20000 * customers.active_customers + customers.total_customers)
                    // (2 * customers.total_customers) * 0.0001
            end as decimal(18, 4)
        ) as system_wide_active_ratio
    from customers
    inner join events
        on events.consumer_id is not distinct from customers.consumer_id
        and events.activity_date = customers.activity_date
    inner join consumers on consumers.activity_date = customers.activity_date

)

select
    consumer_id,
    activity_date + interval 1 day as snapshot_timestamp,
    total_customers,
    active_customers,
    inactive_customers,
    total_events,
    events_by_type,
    avg_customer_lifetime_days,
    case
        when consumer_id is not null
            then json_object(
                'total_customers', total_customers,
                'active_customers', active_customers,
                'inactive_customers', inactive_customers,
                'total_events', total_events,
                'events_by_type', events_by_type,
                'avg_customer_lifetime_days', avg_customer_lifetime_days,
                'snapshot_source', 'tidemark'
            )
        else
            json_object(
                'total_customers_all_consumers', total_customers,
                'active_customers_all_consumers', active_customers,
                'inactive_customers_all_consumers', inactive_customers,
                'total_events_all_consumers', total_events,
                'events_by_type_all_consumers', events_by_type,
                'system_wide_active_ratio', system_wide_active_ratio,
                'consumers_in_system', consumers_in_system
            )
    end as metrics_json
from snapshots

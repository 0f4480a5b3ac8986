-- What is known of every customer at the end of every day from its consumer's first event to the
-- last day that the source holds: whether it exists, since when, and whether it is active.
with events as (

    select
        *,
        row_number() over (
            partition by consumer_id, customer_id order by happened_at, loaded_at, event_id
        ) as position
    from customer_events_versions
    where is_current

),

days as (

    select consumers.consumer_id, cast(calendar.day as date) as activity_date
    from (select consumer_id, min(activity_date) as first_day from events group by consumer_id) as consumers
    cross join unnest(
        generate_series(
            consumers.first_day,
            (select max(activity_date) from events),
            interval 1 day
        )
    ) as calendar (day)

),

so_far as (

    select days.activity_date as snapshot_day, events.*
    from days
    inner join events
        on events.consumer_id = days.consumer_id
        and events.activity_date <= days.activity_date

),

last_creations as (

    select
        snapshot_day,
        consumer_id,
        customer_id,
        max(position) as position,
        arg_max(happened_at, position) as existing_since
    from so_far
    where event_type = 'customer_creation'
    group by snapshot_day, consumer_id, customer_id

),

since_creation as (

    select
        so_far.snapshot_day,
        so_far.consumer_id,
        so_far.customer_id,
        last_creations.existing_since,
        bool_or(so_far.event_type = 'customer_deletion') as is_deleted,
        arg_max(so_far.status, so_far.position) filter (
            where so_far.status is not null
            and so_far.event_type in ('customer_creation', 'customer_update')
        ) as last_status
    from so_far
    inner join last_creations using (snapshot_day, consumer_id, customer_id)
    where so_far.position >= last_creations.position
    group by all

)

select
    days.consumer_id,
    days.activity_date,
    customers.customer_id,
    customers.customer_id is not null as is_existing,
    coalesce(customers.last_status, 'ACTIVE') = 'ACTIVE' and is_existing as is_active,
    customers.existing_since
from days
left join since_creation as customers
    on customers.consumer_id = days.consumer_id
    and customers.snapshot_day = days.activity_date
    and not customers.is_deleted

{{ config(materialized='view') }}

with totals as (

    select * from {{ ref('consumer_totals') }}

),

event_types as (

    select * from {{ ref('consumer_event_types') }}

),

last_day as (

    select max(activity_date) as last_day from {{ ref('consumer_events_daily') }}

),

-- the totals of a day hold until something changes
snapshots as (

    select
        totals.*,
        cast({{ days_after('calendar.date_day', 1) }} as timestamp) as snapshot_timestamp
    from totals
    cross join last_day
    cross join {{ each_day(
        'totals.activity_date',
        'least(coalesce(' ~ days_after('totals.next_activity_date', -1) ~ ', last_day.last_day), last_day.last_day)'
    ) }} as calendar

),

ages as (

    select
        *,
        total_customers * {{ unix_second('snapshot_timestamp') }} - existing_since_total as total_age_seconds
    from snapshots

),

figures as (

    select
        ages.snapshot_timestamp,
        ages.consumer_id,
        ages.total_customers,
        ages.active_customers,
        ages.total_customers - ages.active_customers as inactive_customers,
        ages.total_events,
        event_types.events_by_type,
        case
            when ages.total_customers = 0 then 0
            else cast(round(ages.total_age_seconds / (ages.total_customers * 86400.0), 2) as decimal(18, 2))
        end as avg_customer_lifetime_days,
        case
            when ages.total_customers = 0 then 0
            else cast(round(ages.active_customers / (ages.total_customers * 1.0), 4) as decimal(18, 4))
        end as active_ratio,
        ages.consumers_in_system,
        ages.record_loaded_at
    from ages
    left join event_types
        on
            ages.consumer_id is not distinct from event_types.consumer_id
            and ages.activity_date = event_types.activity_date

),

final as (

    select
        snapshot_timestamp,
        consumer_id,
        total_customers,
        active_customers,
        inactive_customers,
        total_events,
        events_by_type,
        avg_customer_lifetime_days,
        case
            when consumer_id is not null then {{ json_object({
                'total_customers': 'total_customers',
                'active_customers': 'active_customers',
                'inactive_customers': 'inactive_customers',
                'total_events': 'total_events',
                'events_by_type': 'events_by_type',
                'avg_customer_lifetime_days': 'avg_customer_lifetime_days',
                'snapshot_source': "'tidemark'",
            }) }}
            else {{ json_object({
                'total_customers_all_consumers': 'total_customers',
                'active_customers_all_consumers': 'active_customers',
                'inactive_customers_all_consumers': 'inactive_customers',
                'total_events_all_consumers': 'total_events',
                'events_by_type_all_consumers': 'events_by_type',
                'system_wide_active_ratio': 'active_ratio',
                'consumers_in_system': 'consumers_in_system',
            }) }}
        end as metrics_json,
        record_loaded_at
    from figures

)

select * from final

{{ config(materialized='view') }}

with totals as (

    select * from {{ ref('consumer_totals_by_type') }}

),

bounds as (

    select
        min(activity_date) as first_day,
        max(activity_date) as last_day
    from {{ ref('consumer_events_daily') }}

),

calendar as (

    select {{ tidemark.day_of('each_date', 'bounds.first_day') }} as date_day
    from bounds
    cross join {{ tidemark.each_day('bounds.first_day', 'bounds.last_day') }} as each_date

),

-- the totals of a day hold until something changes; joined by range, so that a filter on the consumer comes first
snapshots as (

    select
        totals.*,
        cast({{ tidemark.days_after('calendar.date_day', 1) }} as {{ tidemark.timestamp_type() }}) as snapshot_timestamp
    from totals
    inner join calendar
        on
            totals.activity_date <= calendar.date_day
            and coalesce(totals.next_activity_date, {{ tidemark.date_literal('9999-12-31') }}) > calendar.date_day

),

ages as (

    select
        *,
        total_customers * {{ tidemark.unix_second('snapshot_timestamp') }} - existing_since_total as total_age_seconds
    from snapshots

),

figures as (

    select
        snapshot_timestamp,
        consumer_id,
        total_customers,
        active_customers,
        total_customers - active_customers as inactive_customers,
        total_events,
        events_by_type,
        cast(
            coalesce({{ tidemark.ratio('total_age_seconds', 'total_customers * 86400', decimals=2) }}, 0)
            as decimal(18, 2)
        ) as avg_customer_lifetime_days,
        cast(
            coalesce({{ tidemark.ratio('active_customers', 'total_customers', decimals=4) }}, 0) as decimal(18, 4)
        ) as active_ratio,
        consumers_in_system,
        record_loaded_at
    from ages

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
            when consumer_id is not null then {{ tidemark.json_object({
                'total_customers': 'total_customers',
                'active_customers': 'active_customers',
                'inactive_customers': 'inactive_customers',
                'total_events': 'total_events',
                'events_by_type': 'events_by_type',
                'avg_customer_lifetime_days': 'avg_customer_lifetime_days',
                'snapshot_source': "'tidemark'",
            }) }}
            else {{ tidemark.json_object({
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

-- Each consumer as its latest snapshot has it, and how many customers it gained in the window.
with snapshots as (

    select
        *,
        total_customers - first_value(total_customers) over (
            partition by consumer_id order by snapshot_timestamp
        ) as gained
    from {{ ref('consumer_analytics') }}
    where
        consumer_id is not null
        and snapshot_timestamp >= {{ tidemark.report_since() }}

),

latest as (

    select * from snapshots
    qualify row_number() over (partition by consumer_id order by snapshot_timestamp desc) = 1

),

final as (

    select
        consumer_id as consumer,
        total_customers,
        active_customers,
        inactive_customers,
        gained,
        total_events,
        avg_customer_lifetime_days as mean_lifetime_days
    from latest
    qualify {{ tidemark.within_report('total_customers desc, consumer_id') }}

)

select * from final
order by total_customers desc, consumer asc

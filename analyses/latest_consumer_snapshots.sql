-- The latest snapshot of each consumer, the largest first.
{{ config(enabled='consumers' in var('domains')) }}

select
    consumer_id,
    snapshot_timestamp,
    total_customers,
    active_customers,
    inactive_customers,
    total_events,
    avg_customer_lifetime_days
from {{ ref('consumer_analytics') }}
where consumer_id is not null
qualify row_number() over (partition by consumer_id order by snapshot_timestamp desc) = 1
order by total_customers desc, consumer_id asc

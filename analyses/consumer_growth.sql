-- How each consumer grew from week to week, the latest week first.
{{ config(enabled='consumers' in var('domains')) }}

select
    consumer_id,
    snapshot_timestamp,
    total_customers,
    total_customers - lag(total_customers, 1, 0) over (
        partition by consumer_id order by snapshot_timestamp
    ) as customers_gained,
    active_customers,
    total_events
from {{ ref('consumer_analytics_weekly') }}
where consumer_id is not null
order by snapshot_timestamp desc, consumer_id asc

-- Snapshots that are there more than once. Returns nothing.
{{ config(enabled='consumers' in var('domains')) }}

select
    consumer_id,
    snapshot_timestamp,
    count(*) as snapshots
from {{ ref('consumer_analytics') }}
group by consumer_id, snapshot_timestamp
having count(*) > 1

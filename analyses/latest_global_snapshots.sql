-- The latest global snapshots: all consumers together. The ratio of active ones and the number of consumers are in
-- metrics_json, which `--output json` shows whole.
{{ config(enabled='consumers' in var('domains')) }}

select
    snapshot_timestamp,
    total_customers,
    active_customers,
    total_events,
    metrics_json
from {{ ref('consumer_analytics') }}
where consumer_id is null
order by snapshot_timestamp desc

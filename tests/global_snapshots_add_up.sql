{{ config(enabled='consumers' in var('domains')) }}

-- a global snapshot is the sum of the consumers' snapshots of that time, and there is one for each
with snapshots as (

    select * from {{ ref('consumer_analytics') }}

),

sums as (

    select
        snapshot_timestamp,
        sum(total_customers) as total_customers,
        sum(active_customers) as active_customers,
        sum(total_events) as total_events
    from snapshots
    where consumer_id is not null
    group by snapshot_timestamp

),

global_snapshots as (

    select * from snapshots
    where consumer_id is null

),

final as (

    select
        coalesce(sums.snapshot_timestamp, global_snapshots.snapshot_timestamp) as snapshot_timestamp,
        sums.total_customers,
        global_snapshots.total_customers as total_customers_all_consumers
    from sums
    full outer join global_snapshots on sums.snapshot_timestamp = global_snapshots.snapshot_timestamp
    where
        sums.total_customers is distinct from global_snapshots.total_customers
        or sums.active_customers is distinct from global_snapshots.active_customers
        or sums.total_events is distinct from global_snapshots.total_events

)

select * from final

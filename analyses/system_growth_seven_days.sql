-- All consumers together on each of the last seven days: who exists at its end, and what the day's events were. They
-- need not balance: a customer may be created twice, or deleted without having existed.
{{ config(enabled='consumers' in var('domains')) }}

with snapshots as (

    select
        snapshot_timestamp,
        {{ tidemark.days_after('snapshot_timestamp', -1) }} as activity_date,
        total_customers,
        total_customers - lag(total_customers, 1, 0) over (order by snapshot_timestamp) as customers_gained
    from {{ ref('consumer_analytics') }}
    where consumer_id is null

),

event_days as (

    select
        activity_date,
        sum(case when event_type = 'customer_creation' then events else 0 end) as creations,
        sum(case when event_type = 'customer_deletion' then events else 0 end) as deletions
    from {{ ref('consumer_events_daily') }}
    group by activity_date

),

final as (

    select
        snapshots.snapshot_timestamp,
        snapshots.total_customers,
        snapshots.customers_gained,
        coalesce(event_days.creations, 0) as creations,
        coalesce(event_days.deletions, 0) as deletions
    from snapshots
    left join event_days on snapshots.activity_date = event_days.activity_date
    qualify row_number() over (order by snapshots.snapshot_timestamp desc) <= 7

)

select * from final
order by snapshot_timestamp desc

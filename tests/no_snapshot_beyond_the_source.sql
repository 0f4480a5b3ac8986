{{ config(enabled='consumers' in var('domains')) }}

{% set tables = ['consumer_events_daily', 'customer_states'] %}

-- no snapshot is later than the end of the last day that the source holds
with source_rows as (

    select max(activity_date) as last_day from {{ ref('stg_customer_events') }}
    where
        {{ tidemark.valid_and_visible() }}
        and {{ tidemark.written_days('occurred_at', tables, onwards=true) }}

),

snapshots as (

    select * from {{ ref('consumer_analytics') }}
    where {{ tidemark.written_days('snapshot_timestamp', tables, onwards=true) }}

),

final as (

    select
        snapshots.consumer_id,
        snapshots.snapshot_timestamp,
        source_rows.last_day
    from snapshots
    cross join source_rows
    where
        snapshots.snapshot_timestamp > {{ tidemark.days_after('source_rows.last_day', 1) }}
        or source_rows.last_day is null

)

select * from final

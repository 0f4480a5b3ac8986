{{ config(
    materialized='incremental',
    incremental_strategy='microbatch',
    event_time='activity_date',
    batch_size='day',
    begin='2023-12-01',
    lookback=3,
) }}

with current_events as (

    select
        company_id,
        cast(event_timestamp at time zone 'UTC' as date) as activity_date,
        events,
        is_deleted
    from {{ source('raw', 'fact_events') }}
    where
        event_id is not null
        and company_id is not null
        and event_timestamp at time zone 'UTC' <= loaded_at + interval 24 hours
        and (is_deleted or events >= 0)
    qualify row_number() over (
        partition by event_id, company_id, activity_date
        order by loaded_at desc, is_deleted desc, event_timestamp desc, events desc nulls last
    ) = 1

)

select
    company_id,
    activity_date,
    cast(sum(events) as bigint) as events,
    count(*) as event_rows
from current_events
where not is_deleted
group by company_id, activity_date

{{ config(materialized='view') }}

with snapshots as (

    select * from {{ ref('consumer_analytics') }}

),

final as (

    select * from snapshots
    -- counted from a Monday: with which day `date_trunc` begins a week is a setting on Snowflake
    where {{ dbt.datediff(tidemark.date_literal('1970-01-05'), 'snapshot_timestamp', 'day') }} % 7 = 0

)

select * from final

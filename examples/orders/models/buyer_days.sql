{{ config(materialized='incremental', incremental_strategy='partitions', on_schema_change='fail') }}

with movements as (

    select * from {{ ref('stg_movements') }}
    where {{ tidemark.touched_partitions(ref('stg_movements'), entity='buyer', day='sales_day') }}
    qualify {{ tidemark.latest_version(ref('stg_movements')) }}

)

select buyer, sales_day, count(*) as movements, sum(amount) as net_amount, {{ tidemark.as_of() }} as record_loaded_at
from movements
where not is_void
group by buyer, sales_day

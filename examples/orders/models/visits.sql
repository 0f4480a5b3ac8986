{{ config(materialized='incremental', incremental_strategy='sessions', on_schema_change='fail') }}

with movements as (

    select * from {{ ref('stg_movements') }}
    where {{ tidemark.touched_sessions(
        ref('stg_movements'), entity='buyer', session='visit', first='started_at', last='ended_at'
    ) }}
    qualify {{ tidemark.latest_version(ref('stg_movements')) }}

)

select buyer, visit, min(happened_at) as started_at, max(happened_at) as ended_at, sum(amount) as net_amount,
    {{ tidemark.as_of() }} as record_loaded_at
from movements
where not is_void and {{ tidemark.is_touched_session('buyer', 'visit') }}
group by buyer, visit

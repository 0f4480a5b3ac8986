{{ config(materialized='incremental', incremental_strategy='replay', on_schema_change='fail') }}

with touched as (

    {% call tidemark.replay_from(entity='buyer', day='sales_day') %}
    select buyer, sales_day as replay_from from {{ ref('stg_movements') }} where {{ tidemark.newly_loaded() }}
    {% endcall %}

),

movements as (

    select * from {{ ref('stg_movements') }}
    where {{ tidemark.replayed_rows('buyer') }}
    qualify {{ tidemark.latest_version(ref('stg_movements')) }}

),

amounts as (

    select movements.buyer, movements.sales_day, movements.amount, true as is_replayed
    from movements
    inner join touched on movements.buyer = touched.buyer and movements.sales_day >= touched.replay_from
    where not movements.is_void
    {% if is_incremental() %}
    -- what a buyer had spent when the replay begins, as it is stored
    union all
    select stored.buyer, stored.sales_day, stored.balance, false
    from {{ this }} as stored
    inner join touched on stored.buyer = touched.buyer and stored.sales_day < touched.replay_from
    qualify row_number() over (partition by stored.buyer order by stored.sales_day desc) = 1
    {% endif %}

)

select
    buyer, sales_day, {{ tidemark.as_of() }} as record_loaded_at,
    cast(sum(sum(amount)) over (partition by buyer order by sales_day) as decimal(18, 2)) as balance
from amounts
group by buyer, sales_day, is_replayed
qualify is_replayed

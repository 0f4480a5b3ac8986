with movements as (

    select
        'order ' || order_ref as movement_id, buyer, visit, placed_at as happened_at, amount,
        state = 'cancelled' as is_void, synced_at
    from {{ source('shop', 'orders') }}
    union all
    select 'refund ' || refund_ref, buyer, null, refunded_at, -amount, false, synced_at
    from {{ source('shop', 'refunds') }}

)

select
    *,
    cast(happened_at as date) as sales_day,
    case when buyer is null then 'no buyer' when happened_at is null then 'no time'
        when amount is null then 'no amount' end as problem
from movements

-- Customers of all consumers together at the end of each day.
with snapshots as (

    select
        {{ tidemark.days_after('snapshot_timestamp', -1) }} as activity_date,
        active_customers,
        inactive_customers
    from {{ ref('consumer_analytics') }}
    where consumer_id is null

),

days as (

    {{ tidemark.shown_days([ref('consumer_analytics')]) }}

),

day_ends as (

    select
        days.shown_day,
        case when snapshots.activity_date is null then 'not known yet' else days.day_state end as day_state,
        snapshots.active_customers,
        snapshots.inactive_customers
    from days
    left join snapshots on days.shown_day = snapshots.activity_date
    where days.shown_day >= (select min(known.activity_date) from snapshots as known)

),

final as (

    select
        shown_day,
        day_state,
        'active' as status,
        active_customers as customers
    from day_ends
    union all
    select
        shown_day,
        day_state,
        'inactive' as status,
        inactive_customers as customers
    from day_ends

)

select * from final
order by shown_day, status

-- Interactions and hours on all servers together, day by day. People are not here: who uses two servers would be two.
with daily as (

    select * from {{ ref('engagement_daily') }}

),

days as (

    {{ tidemark.shown_days([ref('engagement_daily')]) }}

),

totals as (

    select
        activity_date,
        sum(total_interactions) as interactions,
        sum(total_duration) as minutes
    from daily
    where activity_date >= {{ tidemark.report_start() }}
    group by activity_date

),

final as (

    select
        days.shown_day,
        days.day_state,
        case when days.day_state <> 'not known yet' then coalesce(totals.interactions, 0) end as interactions,
        case when days.day_state <> 'not known yet' then coalesce(totals.minutes, 0) end as minutes
    from days
    left join totals on days.shown_day = totals.activity_date
    where days.shown_day >= (select min(daily.activity_date) from daily)

)

select * from final
order by shown_day

-- Each server: its people of the last seven days, distinct ones, and what they did in the window.
with daily as (

    select * from {{ ref('engagement_daily') }}
    where activity_date >= {{ tidemark.report_start() }}

),

totals as (

    select
        server_id,
        sum(total_interactions) as interactions,
        sum(total_duration) as minutes,
        max(case when total_interactions > 0 or active_users > 0 then activity_date end) as last_active_day
    from daily
    group by server_id

),

latest as (

    select * from daily
    qualify activity_date = max(activity_date) over ()

),

scaled as (

    select
        server_id,
        activity_date,
        total_interactions,
        max(total_interactions) over (partition by server_id) as most
    from daily
    qualify activity_date > {{ tidemark.days_after('max(activity_date) over ()', -30) }}

),

drawn as (

    select
        server_id,
        {{ tidemark.drawn(tidemark.drawn_amount('total_interactions', 'most'), 'activity_date') }} as last_30_days
    from scaled
    group by server_id

),

final as (

    select
        totals.server_id,
        latest.active_users_7d as people_7d,
        totals.interactions,
        totals.minutes,
        drawn.last_30_days,
        totals.last_active_day
    from totals
    left join latest on totals.server_id = latest.server_id
    left join drawn on totals.server_id = drawn.server_id
    qualify {{ tidemark.within_report('totals.interactions desc, totals.server_id') }}

)

select * from final
order by interactions desc, server_id asc

-- Page views of all enabled teams, and the share of sessions that ended where they began.
with stats as (

    select
        cast(period_bucket as date) as activity_date,
        sum(pageviews) as pageviews
    from {{ ref('web_pre_aggregated_stats') }}
    where period_bucket >= {{ tidemark.report_since() }}
    group by cast(period_bucket as date)

),

bounces as (

    select
        cast(period_bucket as date) as activity_date,
        sum(sessions) as sessions,
        sum(bounces) as bounces
    from {{ ref('web_pre_aggregated_bounces') }}
    where period_bucket >= {{ tidemark.report_since() }}
    group by cast(period_bucket as date)

),

first_days as (

    select cast(min(period_bucket) as date) as first_day from {{ ref('web_pre_aggregated_stats') }}

),

days as (

    {{ tidemark.shown_days([ref('web_pre_aggregated_stats'), ref('web_pre_aggregated_bounces')]) }}

),

final as (

    select
        days.shown_day,
        days.day_state,
        case when days.day_state <> 'not known yet' then coalesce(stats.pageviews, 0) end as pageviews,
        case when days.day_state <> 'not known yet' then coalesce(bounces.sessions, 0) end as sessions,
        case when days.day_state <> 'not known yet' then coalesce(bounces.bounces, 0) end as bounces,
        case
            when days.day_state <> 'not known yet'
                then {{ tidemark.ratio('bounces.bounces * 100', 'bounces.sessions', decimals=2) }}
        end as bounce_rate
    from days
    inner join first_days on days.shown_day >= first_days.first_day
    left join stats on days.shown_day = stats.activity_date
    left join bounces on days.shown_day = bounces.activity_date

)

select * from final
order by shown_day

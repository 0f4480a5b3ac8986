-- Companies that were active on each day, and their events. A day without an answer of the usage API has no number.
with activity as (

    select * from {{ ref('company_daily_activity') }}

),

days as (

    {{ tidemark.shown_days([ref('company_daily_activity')]) }}

),

-- of a day that was not reported no company has a number
counts as (

    select
        activity_date,
        case when count(events) > 0 then count(case when {{ is_active_day('active_users', 'events') }} then 1 end) end
            as active_companies,
        sum(events) as all_events
    from activity
    where activity_date >= {{ tidemark.report_start() }}
    group by activity_date

),

final as (

    select
        days.shown_day,
        case
            when counts.activity_date is null then 'not known yet'
            when counts.all_events is null then 'not reported'
            else 'complete'
        end as day_state,
        counts.active_companies,
        counts.all_events as events
    from days
    left join counts on days.shown_day = counts.activity_date
    where days.shown_day >= (select min(activity.activity_date) from activity)

)

select * from final
order by shown_day

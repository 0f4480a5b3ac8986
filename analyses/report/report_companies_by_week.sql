-- Companies that were active in each week: distinct ones, which days do not add up to. Who is lost was active the week
-- before and silent in this one; that can only be said of a week whose seven days were all reported.
with activity as (

    select * from {{ ref('company_daily_activity') }}

),

company_weeks as (

    select
        company_id,
        {{ tidemark.week_of('activity_date') }} as week_start,
        max(case when {{ is_active_day('active_users', 'events') }} then 1 else 0 end) as active
    from activity
    group by company_id, {{ tidemark.week_of('activity_date') }}

),

-- a company has a row for each week since its first one
weeks_in_order as (

    select
        company_id,
        week_start,
        active,
        coalesce(lag(active) over (partition by company_id order by week_start), 0) as was_active,
        coalesce(
            max(active) over (
                partition by company_id
                order by week_start
                rows between unbounded preceding and 1 preceding
            ),
            0
        ) as was_ever_active,
        min(week_start) over () as first_week
    from company_weeks

),

reports as (

    select
        {{ tidemark.week_of('activity_date') }} as week_start,
        count(distinct case when events is not null then activity_date end) as days_reported
    from activity
    group by {{ tidemark.week_of('activity_date') }}

),

counts as (

    select
        week_start,
        sum(active) as active_companies,
        -- who was there before the first week nobody knows
        sum(case when week_start > first_week then active * (1 - was_ever_active) end) as new_companies,
        sum(active * was_ever_active * (1 - was_active)) as returned_companies,
        sum((1 - active) * was_active) as lost_companies
    from weeks_in_order
    where week_start >= {{ tidemark.week_of(tidemark.report_start()) }}
    group by week_start

),

final as (

    select
        counts.week_start,
        case when reports.days_reported = 7 then 'complete' else 'partly reported' end as week_state,
        reports.days_reported,
        counts.active_companies,
        counts.new_companies,
        counts.returned_companies,
        case when reports.days_reported = 7 then -counts.lost_companies end as lost_companies
    from counts
    inner join reports on counts.week_start = reports.week_start

)

select * from final
order by week_start

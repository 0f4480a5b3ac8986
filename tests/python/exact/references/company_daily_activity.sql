-- One row per company per day, from the company's first day to the last reported day.
with days as (

    select
        companies.company_id,
        companies.first_day,
        cast(calendar.day as date) as activity_date
    from dim_companies as companies
    cross join unnest(
        generate_series(
            companies.first_day,
            (select max(usage_date) from reported_days),
            interval 1 day
        )
    ) as calendar (day)

),

reported as (

    select
        calendar.activity_date,
        bool_or(calendar.activity_date = reported_days.usage_date) is true as is_reported,
        count(reported_days.usage_date) as days_reported_7d,
        (
            select count(*) from reported_days as churn_window
            where
                churn_window.usage_date <= calendar.activity_date
                and churn_window.usage_date
                > calendar.activity_date - to_days(coalesce(getvariable('churn_window_days'), 7))
        ) as churn_window_days_reported
    from (select distinct activity_date from days) as calendar
    left join reported_days
        on reported_days.usage_date between calendar.activity_date - 6 and calendar.activity_date
    group by calendar.activity_date

),

daily as (

    select
        days.company_id,
        days.first_day,
        days.activity_date,
        reported.days_reported_7d,
        reported.churn_window_days_reported,
        case
            when usage.company_id is not null then usage.active_users
            when reported.is_reported then 0
        end as active_users,
        case
            when usage.company_id is not null then usage.events
            when reported.is_reported then 0
        end as events,
        case when usage.active_users >= coalesce(getvariable('active_day_users'), 1)
            or usage.events >= coalesce(getvariable('active_day_events'), 1) then days.activity_date end as active_on
    from days
    inner join reported using (activity_date)
    left join product_usage_daily_versions as usage
        on usage.company_id = days.company_id
        and usage.usage_date = days.activity_date
        and usage.is_current

),

windowed as (

    select
        *,
        coalesce(sum(active_users) over seven_days, 0) as active_users_7d,
        coalesce(sum(events) over seven_days, 0) as events_7d,
        activity_date - max(active_on) over so_far as days_since_last_active
    from daily
    window
        seven_days as (
            partition by company_id order by activity_date
            range between interval 6 days preceding and current row
        ),
        so_far as (partition by company_id order by activity_date)

),

contacts as (

    select
        days.company_id,
        days.activity_date,
        max(crm.last_contact_at) as last_contact_at
    from days
    inner join crm_daily_versions as crm
        on crm.company_id = days.company_id
        and crm.last_contact_at < days.activity_date + interval 1 day
        and crm.is_current
    group by days.company_id, days.activity_date

)

select
    windowed.activity_date,
    windowed.company_id,
    companies.company_name,
    companies.country,
    companies.industry_tag,
    contacts.last_contact_at,
    windowed.active_users,
    windowed.events,
    windowed.active_users_7d,
    windowed.events_7d,
    windowed.days_reported_7d,
    windowed.days_since_last_active,
    coalesce(getvariable('churn_window_days'), 7) as churn_window_days,
    windowed.churn_window_days_reported,
    case
        when windowed.days_since_last_active < coalesce(getvariable('churn_window_days'), 7) then false
        when windowed.activity_date - windowed.first_day + 1 < coalesce(getvariable('churn_window_days'), 7) then false
        when windowed.churn_window_days_reported = coalesce(getvariable('churn_window_days'), 7) then true
    end as is_churn_risk
from windowed
inner join dim_companies as companies using (company_id)
left join contacts using (company_id, activity_date)

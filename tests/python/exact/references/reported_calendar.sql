-- Every day from the first reported one to the last.
select
    cast(calendar.day as date) as date_day,
    bool_or(calendar.day = reported_days.usage_date) is true as is_reported,
    count(reported_days.usage_date) as days_reported_7d,
    (
        select count(*) from reported_days as churn_window
        where
            churn_window.usage_date <= calendar.day
            and churn_window.usage_date > calendar.day - to_days(coalesce(getvariable('churn_window_days'), 7))
    ) as churn_window_days_reported
from (
    select unnest(generate_series(min(usage_date), max(usage_date), interval 1 day))
    from reported_days
) as calendar (day)
left join reported_days
    on reported_days.usage_date between calendar.day - interval 6 days and calendar.day
group by calendar.day

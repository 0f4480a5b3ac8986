{{ config(materialized='view') }}

with reported_days as (

    select * from {{ ref('reported_days') }}

),

bounds as (

    select
        min(usage_date) as first_day,
        max(usage_date) as last_day,
        max(record_loaded_at) as record_loaded_at
    from reported_days

),

days as (

    select
        {{ tidemark.day_of('span', 'bounds.first_day') }} as date_day,
        bounds.record_loaded_at
    from bounds
    cross join {{ tidemark.each_day('bounds.first_day', 'bounds.last_day') }} as span

),

calendar as (

    select
        days.date_day,
        reported_days.usage_date is not null as is_reported,
        days.record_loaded_at
    from days
    left join reported_days on days.date_day = reported_days.usage_date

),

final as (

    select
        date_day,
        is_reported,
        -- rows are calendar days here, and nothing was reported before the first
        cast(count(case when is_reported then 1 end) over (
            order by date_day rows between 6 preceding and current row
        ) as integer) as days_reported_7d,
        cast(count(case when is_reported then 1 end) over (
            order by date_day rows between {{ rule('churn_window_days') - 1 }} preceding and current row
        ) as integer) as churn_window_days_reported,
        record_loaded_at
    from calendar

)

select * from final

{{ config(materialized='view') }}

with daily_usage as (

    select * from {{ ref('company_daily_usage') }}

),

companies as (

    select * from {{ ref('dim_companies') }}

),

contact_periods as (

    select * from {{ ref('company_contact_periods') }}

),

final as (

    select
        daily_usage.activity_date,
        daily_usage.company_id,
        companies.company_name,
        companies.country,
        companies.industry_tag,
        contact_periods.last_contact_at,
        daily_usage.active_users,
        daily_usage.events,
        daily_usage.active_users_7d,
        daily_usage.events_7d,
        daily_usage.days_reported_7d,
        daily_usage.days_since_last_active,
        daily_usage.churn_window_days,
        daily_usage.churn_window_days_reported,
        daily_usage.is_churn_risk,
        daily_usage.record_loaded_at
    from daily_usage
    left join companies on daily_usage.company_id = companies.company_id
    left join contact_periods
        on
            daily_usage.company_id = contact_periods.company_id
            and daily_usage.activity_date >= contact_periods.valid_from
            and (daily_usage.activity_date < contact_periods.valid_to or contact_periods.valid_to is null)

)

select * from final

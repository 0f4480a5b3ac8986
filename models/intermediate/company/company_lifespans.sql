{{ config(materialized='view') }}

with companies as (

    select * from {{ ref('dim_companies') }}

),

calendar as (

    select max(usage_date) as last_reported_day from {{ ref('reported_days') }}

),

final as (

    select
        companies.company_id,
        companies.first_day,
        calendar.last_reported_day as last_day,
        companies.record_loaded_at
    from companies
    inner join calendar on companies.first_day <= calendar.last_reported_day

)

select * from final

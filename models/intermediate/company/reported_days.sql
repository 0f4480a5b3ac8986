{{ config(incremental_strategy='full', transient=true, unique_key='usage_date') }}

with answers as (

    select
        usage_date,
        loaded_at
    from {{ ref('stg_usage_answers') }}
    where {{ tidemark.valid_and_visible() }}

),

usage_rows as (

    select
        usage_date,
        loaded_at
    from {{ ref('stg_product_usage_daily') }}
    where {{ tidemark.valid_and_visible() }}

),

reports as (

    select * from answers
    union all
    select * from usage_rows

),

-- what was said of a day before its end does not close it
reports_of_ended_days as (

    select * from reports
    where cast(loaded_at as date) >= {{ tidemark.days_after('usage_date', 1) }}

),

final as (

    select
        usage_date,
        min(loaded_at) as first_reported_at,
        {{ tidemark.as_of() }} as record_loaded_at
    from reports_of_ended_days
    group by usage_date

)

select * from final

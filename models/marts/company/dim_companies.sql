{{ config(incremental_strategy='full', transient=true, unique_key='company_id') }}

with crm as (

    select * from {{ ref('stg_crm_daily') }}
    where {{ tidemark.valid_and_visible() }}
    qualify {{ tidemark.latest_version(ref('stg_crm_daily')) }}

),

usage_rows as (

    select * from {{ ref('stg_product_usage_daily') }}
    where {{ tidemark.valid_and_visible() }}

),

latest_attributes as (

    select
        *,
        min(load_date) over (partition by company_id) as first_load_date,
        count(*) over (partition by company_id) as crm_files
    from crm
    qualify row_number() over (partition by company_id order by load_date desc) = 1

),

usage_by_company as (

    select
        company_id,
        min(usage_date) as first_usage_date,
        count(distinct usage_date) as usage_days
    from usage_rows
    group by company_id

),

final as (

    select
        coalesce(latest_attributes.company_id, usage_by_company.company_id) as company_id,
        latest_attributes.company_name,
        latest_attributes.country,
        latest_attributes.industry_tag,
        least(
            coalesce(latest_attributes.first_load_date, usage_by_company.first_usage_date),
            coalesce(usage_by_company.first_usage_date, latest_attributes.first_load_date)
        ) as first_day,
        latest_attributes.first_load_date,
        latest_attributes.load_date as last_load_date,
        latest_attributes.loaded_at as attributes_loaded_at,
        coalesce(latest_attributes.crm_files, 0) as crm_files,
        coalesce(usage_by_company.usage_days, 0) as usage_days,
        {{ tidemark.as_of() }} as record_loaded_at
    from latest_attributes
    full outer join usage_by_company on latest_attributes.company_id = usage_by_company.company_id

)

select * from final

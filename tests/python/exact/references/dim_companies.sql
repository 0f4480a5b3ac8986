-- Every company known to the CRM or to usage.
with crm as (

    select
        company_id,
        arg_max_null(name, load_date) as company_name,
        arg_max_null(country, load_date) as country,
        arg_max_null(industry_tag, load_date) as industry_tag,
        min(load_date) as first_load_date,
        max(load_date) as last_load_date,
        arg_max(loaded_at, load_date) as attributes_loaded_at,
        count(*) as crm_files
    from crm_daily_versions
    where is_current
    group by company_id

),

usage as (

    select
        company_id,
        min(usage_date) as first_usage_date,
        count(distinct usage_date) as usage_days
    from product_usage_daily_versions
    group by company_id

)

select
    company_id,
    crm.company_name,
    crm.country,
    crm.industry_tag,
    -- DuckDB's least() passes over nulls
    least(crm.first_load_date, usage.first_usage_date) as first_day,
    crm.first_load_date,
    crm.last_load_date,
    crm.attributes_loaded_at,
    coalesce(crm.crm_files, 0) as crm_files,
    coalesce(usage.usage_days, 0) as usage_days
from crm
full outer join usage using (company_id)

{% snapshot crm_companies %}

{{ config(
    unique_key='company_id',
    strategy='check',
    check_cols=['company_name', 'country', 'industry_tag'],
    updated_at='loaded_at'
) }}

with companies as (

    select * from {{ ref('dim_companies') }}

),

final as (

    select
        company_id,
        company_name,
        country,
        industry_tag,
        attributes_loaded_at as loaded_at
    from companies
    where last_load_date is not null

)

select * from final

{% endsnapshot %}

-- A CRM of current state: each load stands for the file of its day.
with source as (

    select
        cast(id as varchar) as company_id,
        account_name as company_name,
        billing_country as country,
        industry as industry_tag,
        {{ tidemark.to_utc('last_activity_at') }} as last_contact_at,
        cast(synced_at as date) as load_date,
        synced_at as loaded_at
    from {{ source('raw', 'crm_daily') }}

),

final as (

    select
        *,
        load_date as occurred_at,
        case
            when company_id is null then 'company_id is null'
            when {{ tidemark.is_blank('company_id') }} then 'company_id is blank'
        end as quarantine_reason
    from source

)

select * from final

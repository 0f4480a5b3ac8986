with source as (

    select * from {{ source('raw', 'crm_daily') }}

),

final as (

    select
        company_id,
        name as company_name,
        country,
        industry_tag,
        last_contact_at,
        load_date,
        load_date as occurred_at,
        loaded_at,
        {{ failed_values() }}
        case
            {{ when_failed_values() }}
            when company_id is null then 'company_id is null'
            when load_date is null then 'load_date is null'
            when {{ dbt.dateadd('hour', -24, 'load_date') }} > loaded_at
                then 'load_date is more than 24 hours after loaded_at'
        end as quarantine_reason
    from source

)

select * from final

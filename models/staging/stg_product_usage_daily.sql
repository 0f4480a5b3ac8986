with source as (

    select * from {{ source('raw', 'product_usage_daily') }}

),

final as (

    select
        company_id,
        usage_date,
        usage_date as occurred_at,
        active_users,
        events,
        loaded_at,
        {{ failed_values() }}
        case
            {{ when_failed_values() }}
            when company_id is null then 'company_id is null'
            when usage_date is null then 'usage_date is null'
            when active_users is null then 'active_users is null'
            when events is null then 'events is null'
            when active_users < 0 then 'active_users is negative'
            when events < 0 then 'events is negative'
            when {{ dbt.dateadd('hour', -24, 'usage_date') }} > loaded_at
                then 'usage_date is more than 24 hours after loaded_at'
        end as quarantine_reason
    from source

)

select * from final

with source as (

    select * from {{ source('raw', 'usage_answers') }}

),

final as (

    select
        usage_date,
        usage_date as occurred_at,
        loaded_at,
        {{ failed_values() }}
        case
            {{ when_failed_values() }}
            when usage_date is null then 'usage_date is null'
            when {{ dbt.dateadd('hour', -24, 'usage_date') }} > loaded_at
                then 'usage_date is more than 24 hours after loaded_at'
        end as quarantine_reason
    from source

)

select * from final

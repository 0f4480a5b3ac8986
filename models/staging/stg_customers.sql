with source as (

    select * from {{ source('raw', 'customers') }}

),

final as (

    select
        customer_id,
        consumer_id,
        name as customer_name,
        status,
        created_at,
        updated_at,
        loaded_at,
        {{ failed_values() }}
        case
            {{ when_failed_values() }}
            when customer_id is null then 'customer_id is null'
            when consumer_id is null then 'consumer_id is null'
        end as quarantine_reason
    from source

)

select * from final

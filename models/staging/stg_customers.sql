with source as (

    {{ tidemark.contract_rows(source('raw', 'customers')) }}

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
        {{ tidemark.failed_values() }}
        case
            {{ tidemark.unfit_values(source('raw', 'customers')) }}
            when customer_id is null then 'customer_id is null'
            when {{ tidemark.is_blank('customer_id') }} then 'customer_id is blank'
            when consumer_id is null then 'consumer_id is null'
            when {{ tidemark.is_blank('consumer_id') }} then 'consumer_id is blank'
        end as quarantine_reason
    from source

)

select * from final

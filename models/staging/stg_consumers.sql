with source as (

    {{ tidemark.contract_rows(source('raw', 'consumers')) }}

),

final as (

    select
        consumer_id,
        name as consumer_name,
        status,
        created_at,
        updated_at,
        loaded_at,
        {{ tidemark.failed_values() }}
        case
            {{ tidemark.unfit_values(source('raw', 'consumers')) }}
            when consumer_id is null then 'consumer_id is null'
            when {{ tidemark.is_blank('consumer_id') }} then 'consumer_id is blank'
        end as quarantine_reason
    from source

)

select * from final

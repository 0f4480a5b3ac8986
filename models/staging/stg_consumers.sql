with source as (

    select * from {{ source('raw', 'consumers') }}

),

final as (

    select
        consumer_id,
        name as consumer_name,
        status,
        created_at,
        updated_at,
        loaded_at,
        case
            when consumer_id is null then 'consumer_id is null'
            when {{ is_blank('consumer_id') }} then 'consumer_id is blank'
        end as quarantine_reason
    from source

)

select * from final

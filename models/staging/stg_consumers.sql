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
        {{ failed_values() }}
        case
            {{ when_failed_values() }}
            when consumer_id is null then 'consumer_id is null'
        end as quarantine_reason
    from source

)

select * from final

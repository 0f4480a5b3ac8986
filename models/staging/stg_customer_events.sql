with source as (

    select * from {{ source('raw', 'customer_events') }}

),

final as (

    select
        event_id,
        consumer_id,
        customer_id,
        event_type,
        payload_json,
        {{ json_text('payload_json', 'status') }} as status,
        created_at as occurred_at,
        cast(created_at as date) as activity_date,
        loaded_at,
        {{ failed_values() }}
        case
            {{ when_failed_values() }}
            when event_id is null then 'event_id is null'
            when consumer_id is null then 'consumer_id is null'
            when customer_id is null then 'customer_id is null'
            when event_type is null then 'event_type is null'
            when created_at is null then 'created_at is null'
            when {{ dbt.dateadd('hour', -24, 'created_at') }} > loaded_at
                then 'created_at is more than 24 hours after loaded_at'
            when not {{ is_json('payload_json') }} then 'payload_json does not parse'
        end as quarantine_reason
    from source

)

select * from final

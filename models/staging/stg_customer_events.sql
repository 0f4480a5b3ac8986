with source as (

    {{ tidemark.contract_rows(source('raw', 'customer_events')) }}

),

final as (

    select
        event_id,
        consumer_id,
        customer_id,
        event_type,
        payload_json,
        {{ tidemark.json_text('payload_json', 'status') }} as status,
        created_at as occurred_at,
        cast(created_at as date) as activity_date,
        loaded_at,
        {{ tidemark.failed_values() }}
        case
            {{ tidemark.unfit_values(source('raw', 'customer_events')) }}
            when event_id is null then 'event_id is null'
            when {{ tidemark.is_blank('event_id') }} then 'event_id is blank'
            when consumer_id is null then 'consumer_id is null'
            when {{ tidemark.is_blank('consumer_id') }} then 'consumer_id is blank'
            when customer_id is null then 'customer_id is null'
            when {{ tidemark.is_blank('customer_id') }} then 'customer_id is blank'
            when event_type is null then 'event_type is null'
            when created_at is null then 'created_at is null'
            when {{ tidemark.is_before_earliest_event('created_at') }} then 'created_at is before earliest_event'
            when {{ dbt.dateadd('hour', -24, 'created_at') }} > loaded_at
                then 'created_at is more than 24 hours after loaded_at'
            when not {{ tidemark.is_json('payload_json') }} then 'payload_json does not parse'
        end as quarantine_reason
    from source

)

select * from final

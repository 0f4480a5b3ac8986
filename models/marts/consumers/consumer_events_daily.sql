with events as (

    select * from {{ ref('stg_customer_events') }}
    where {{ tidemark.touched_partitions(ref('stg_customer_events'), entity='consumer_id', day='activity_date') }}
    qualify {{ tidemark.latest_version(ref('stg_customer_events')) }}

),

final as (

    select
        consumer_id,
        activity_date,
        event_type,
        count(*) as events,
        {{ tidemark.as_of() }} as record_loaded_at
    from events
    group by consumer_id, activity_date, event_type

)

select * from final

-- The valid, visible versions of every event; is_current marks the one that counts.
with judged as (

    select
        event_id,
        consumer_id,
        customer_id,
        event_type,
        payload_json,
        created_at as happened_at,
        cast(created_at as date) as activity_date,
        loaded_at
    from raw.customer_events
    where
        loaded_at <= getvariable('as_of')
        and regexp_matches(event_id, '[^\pZ\t-\r\x{85}]')
        and regexp_matches(consumer_id, '[^\pZ\t-\r\x{85}]')
        and regexp_matches(customer_id, '[^\pZ\t-\r\x{85}]')
        and event_type is not null
        and created_at is not null

)

select
    *,
    case when json_valid(payload_json) then payload_json ->> '$.status' end as status,
    row_number() over (
        partition by event_id, consumer_id, activity_date
        order by
            loaded_at desc,
            customer_id desc,
            event_type desc,
            payload_json desc nulls last,
            happened_at desc
    ) = 1 as is_current
from judged
where
    happened_at >= '1970-01-02'
    and happened_at <= loaded_at + interval 24 hours
    and (payload_json is null or json_valid(payload_json))
    -- no object has a key twice
    and (
        select count(*) = count(distinct (path, key))
        from json_tree(case when json_valid(payload_json) then payload_json end)
        where key is not null
    )

-- The valid, visible versions of every event; is_current marks the one that counts, deleted or not.
with judged as (

    select
        event_id,
        company_id,
        event_timestamp at time zone 'UTC' as happened_at,
        cast(event_timestamp at time zone 'UTC' as date) as activity_date,
        events,
        coalesce(is_deleted, false) as is_deleted,
        loaded_at
    from raw.fact_events
    where
        loaded_at <= getvariable('as_of')
        and regexp_matches(event_id, '[^\pZ\t-\r\x{85}]')
        and regexp_matches(company_id, '[^\pZ\t-\r\x{85}]')
        and event_timestamp is not null

)

select
    *,
    row_number() over (
        partition by event_id, company_id, activity_date
        order by loaded_at desc, is_deleted desc, happened_at desc, events desc nulls last
    ) = 1 as is_current
from judged
where
    happened_at >= '1970-01-02'
    and happened_at <= loaded_at + interval 24 hours
    and (is_deleted or events >= 0)

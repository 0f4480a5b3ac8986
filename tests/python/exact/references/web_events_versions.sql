-- The valid, visible versions of every event; is_current marks the one that counts.
with judged as (

    select
        * exclude (timestamp),
        timestamp as happened_at,
        cast(timestamp as date) as activity_date
    from raw.web_events
    where
        loaded_at <= getvariable('as_of')
        and regexp_matches(event_id, '[^\pZ\t-\r\x{85}]')
        and team_id is not null
        and timestamp is not null
        and coalesce(regexp_matches(person_id, '[^\pZ\t-\r\x{85}]'), true)
        and coalesce(regexp_matches(session_id, '[^\pZ\t-\r\x{85}]'), true)

)

select
    *,
    coalesce(event in ('$pageview', '$screen'), false) as is_view,
    row_number() over (
        partition by event_id, team_id, activity_date
        order by
            loaded_at desc,
            person_id desc nulls last,
            session_id desc nulls last,
            event desc nulls last,
            happened_at desc,
            host desc nulls last,
            pathname desc nulls last,
            device_type desc nulls last,
            browser desc nulls last,
            os desc nulls last,
            referring_domain desc nulls last,
            utm_source desc nulls last,
            utm_medium desc nulls last,
            utm_campaign desc nulls last,
            country_code desc nulls last
    ) = 1 as is_current
from judged
where
    happened_at >= '1970-01-02'
    and happened_at <= loaded_at + interval 24 hours

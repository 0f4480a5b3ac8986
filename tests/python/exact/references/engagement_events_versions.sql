-- The valid, visible versions of every event; is_current marks the one that counts, deleted or not.
with judged as (

    select
        event_id,
        user_id,
        server_id,
        session_date as happened_at,
        cast(session_date as date) as activity_date,
        feature_used,
        interaction_count,
        duration_minutes,
        coalesce(is_deleted, false) as is_deleted,
        updated_at as loaded_at
    from raw.engagement_events
    where
        updated_at <= getvariable('as_of')
        and regexp_matches(event_id, '[^\pZ\t-\r\x{85}]')
        and regexp_matches(server_id, '[^\pZ\t-\r\x{85}]')
        and session_date is not null

)

select
    *,
    row_number() over (
        partition by event_id, server_id, activity_date
        order by
            loaded_at desc,
            is_deleted desc,
            user_id desc nulls last,
            happened_at desc,
            feature_used desc nulls last,
            interaction_count desc nulls last,
            duration_minutes desc nulls last
    ) = 1 as is_current
from judged
where
    happened_at >= '1970-01-02'
    and happened_at <= loaded_at + interval 24 hours
    and (
        is_deleted
        or (
            regexp_matches(user_id, '[^\pZ\t-\r\x{85}]')
            and interaction_count >= 0
            and duration_minutes >= 0
        )
    )

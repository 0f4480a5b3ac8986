with versions as (

    select
        event_id,
        user_id,
        server_id,
        session_date,
        cast(session_date as date) as activity_date,
        feature_used,
        interaction_count,
        duration_minutes,
        coalesce(is_deleted, false) as is_deleted,
        updated_at
    from raw.engagement_events
    where
        updated_at <= getvariable('as_of')
        and event_id is not null
        and server_id is not null
        and session_date <= updated_at + interval 24 hours
        and (is_deleted or (user_id is not null and interaction_count >= 0 and duration_minutes >= 0))

),

current_events as (

    select server_id, date_trunc('hour', session_date) as metric_hour, user_id, interaction_count, duration_minutes, is_deleted
    from versions
    qualify row_number() over (
        partition by event_id, server_id, activity_date
        order by
            updated_at desc,
            is_deleted desc,
            user_id desc nulls last,
            session_date desc,
            feature_used desc nulls last,
            interaction_count desc nulls last,
            duration_minutes desc nulls last
    ) = 1

)

select
    server_id,
    metric_hour,
    count(distinct user_id) as active_users,
    cast(sum(interaction_count) as bigint) as total_interactions,
    cast(sum(duration_minutes) as decimal(38, 2)) as total_duration,
    getvariable('as_of') as record_loaded_at
from current_events
where not is_deleted
group by server_id, metric_hour

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

    select server_id, activity_date, user_id, interaction_count, duration_minutes, is_deleted
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

),

person_days as (

    select
        server_id,
        user_id,
        activity_date,
        count(*) as event_rows,
        sum(interaction_count) as total_interactions,
        sum(duration_minutes) as total_duration
    from current_events
    where not is_deleted
    group by server_id, user_id, activity_date

),

-- a person counts from an active day on for seven days, or until the next active day
spans as (

    select
        *,
        least(
            activity_date + 7,
            lead(activity_date) over (partition by server_id, user_id order by activity_date)
        ) as left_on
    from person_days

),

-- so the people of seven days are a running sum of those who came and those who left
changes as (

    select
        server_id,
        activity_date,
        1 as joined,
        1 as active_users,
        event_rows,
        total_interactions,
        total_duration
    from spans
    union all
    select server_id, left_on, -1, 0, 0, 0, 0
    from spans

),

days as (

    select
        server_id,
        activity_date,
        sum(active_users) as active_users,
        sum(total_interactions) as total_interactions,
        sum(total_duration) as total_duration,
        sum(event_rows) as event_rows,
        sum(sum(joined)) over (partition by server_id order by activity_date) as active_users_7d,
        lead(activity_date) over (partition by server_id order by activity_date) as next_date
    from changes
    group by server_id, activity_date

),

-- days on which nobody came or left
filled as (

    select days.*, offsets.day_number
    from days
    cross join unnest(range(next_date - activity_date)) as offsets (day_number)
    where active_users_7d > 0

)

select
    server_id,
    cast(activity_date + cast(day_number as integer) as date) as activity_date,
    cast(if(day_number = 0, active_users, 0) as bigint) as active_users,
    cast(if(day_number = 0, total_interactions, 0) as bigint) as total_interactions,
    cast(if(day_number = 0, total_duration, 0) as decimal(38, 2)) as total_duration,
    cast(active_users_7d as bigint) as active_users_7d,
    cast(if(day_number = 0, event_rows, 0) as bigint) as event_rows,
    getvariable('as_of') as record_loaded_at
from filled

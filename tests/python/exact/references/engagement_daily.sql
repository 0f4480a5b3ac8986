-- Every day of a server from its first to the last day that the source holds for anyone.
with events as (

    select * from engagement_events_versions
    where is_current and not is_deleted

),

days as (

    select servers.server_id, cast(calendar.day as date) as activity_date
    from (select server_id, min(activity_date) as first_day from events group by server_id) as servers
    cross join unnest(
        generate_series(
            servers.first_day,
            (select max(activity_date) from events),
            interval 1 day
        )
    ) as calendar (day)

),

-- each day beside the events of its seven days
joined as (

    select days.*, events.* exclude (server_id, activity_date), events.activity_date = days.activity_date as is_today
    from days
    left join events
        on events.server_id = days.server_id
        and events.activity_date between days.activity_date - 6 and days.activity_date

)

select
    server_id,
    activity_date,
    count(distinct user_id) filter (where is_today) as active_users,
    coalesce(sum(interaction_count) filter (where is_today), 0) as total_interactions,
    coalesce(sum(duration_minutes) filter (where is_today), 0) as total_duration,
    count(distinct user_id) as active_users_7d
from joined
group by server_id, activity_date

with events as (

    select * from {{ ref('stg_engagement_events') }}
    where {{ tidemark.touched_partitions(
        ref('stg_engagement_events'), entity='server_id', day='activity_date', lookback_days=6
    ) }}
    qualify {{ tidemark.latest_version(ref('stg_engagement_events')) }}

),

person_days as (

    select
        server_id,
        user_id,
        activity_date,
        count(*) as event_rows,
        sum(interaction_count) as total_interactions,
        sum(duration_minutes) as total_duration,
        lead(activity_date) over (partition by server_id, user_id order by activity_date) as next_activity_date
    from events
    where not is_deleted
    group by server_id, user_id, activity_date

),

-- a person counts from an active day on for seven days, or until the next active day
spans as (

    select
        *,
        case
            when next_activity_date < {{ tidemark.days_after('activity_date', 7) }} then next_activity_date
            else {{ tidemark.days_after('activity_date', 7) }}
        end as left_on
    from person_days

),

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
    select
        server_id,
        left_on as activity_date,
        -1 as joined,
        0 as active_users,
        0 as event_rows,
        0 as total_interactions,
        0 as total_duration
    from spans

),

-- so the people of seven days are a running sum of those who came and those who left: no distinct, no copies
change_days as (

    select
        server_id,
        activity_date,
        sum(active_users) as active_users,
        sum(total_interactions) as total_interactions,
        sum(total_duration) as total_duration,
        sum(event_rows) as event_rows,
        sum(sum(joined)) over (partition by server_id order by activity_date) as active_users_7d,
        lead(activity_date) over (partition by server_id order by activity_date) as next_change_date
    from changes
    group by server_id, activity_date

),

-- the days on which nobody came or left have the people of the last change
days as (

    select
        change_days.*,
        {{ tidemark.day_of('calendar', 'change_days.activity_date') }} as date_day,
        {{ tidemark.day_of('calendar', 'change_days.activity_date') }} = change_days.activity_date as is_change
    from change_days
    cross join {{ tidemark.each_day(
        'change_days.activity_date', tidemark.days_after('change_days.next_change_date', -1)
    ) }} as calendar
    where change_days.active_users_7d > 0

),

final as (

    select
        server_id,
        date_day as activity_date,
        cast(case when is_change then active_users else 0 end as bigint) as active_users,
        cast(case when is_change then total_interactions else 0 end as bigint) as total_interactions,
        cast(case when is_change then total_duration else 0 end as decimal(38, 2)) as total_duration,
        cast(active_users_7d as bigint) as active_users_7d,
        cast(case when is_change then event_rows else 0 end as bigint) as event_rows,
        {{ tidemark.as_of() }} as record_loaded_at
    from days
    where {{ tidemark.is_touched('server_id', 'date_day') }}

)

select * from final

with events as (

    select * from {{ ref('stg_engagement_events') }}
    where {{ touched_partitions(
        ref('stg_engagement_events'), entity='server_id', day='activity_date', lookback_days=6
    ) }}
    qualify {{ latest_version(ref('stg_engagement_events')) }}

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

-- a person counts in the windows of seven days, or until seen again: once in each window, without a distinct
windows as (

    select
        person_days.*,
        offsets.days_later,
        {{ days_after('person_days.activity_date', 'offsets.days_later') }} as window_date
    from person_days
    inner join {{ numbers_to(6) }}
        on
            person_days.next_activity_date is null
            or person_days.next_activity_date > {{ days_after('person_days.activity_date', 'offsets.days_later') }}

),

final as (

    select
        server_id,
        window_date as activity_date,
        count(case when days_later = 0 then 1 end) as active_users,
        cast(coalesce(sum(case when days_later = 0 then total_interactions end), 0) as bigint) as total_interactions,
        cast(coalesce(sum(case when days_later = 0 then total_duration end), 0) as decimal(38, 2)) as total_duration,
        count(*) as active_users_7d,
        cast(coalesce(sum(case when days_later = 0 then event_rows end), 0) as bigint) as event_rows,
        {{ as_of() }} as record_loaded_at
    from windows
    where {{ is_touched('server_id', 'window_date') }}
    group by server_id, window_date

)

select * from final

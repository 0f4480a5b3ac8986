{{ config(materialized='view') }}

with daily as (

    select * from {{ ref('server_engagement_daily') }}

),

last_day as (

    select max(activity_date) as last_day from daily
    where event_rows > 0

),

servers as (

    select
        server_id,
        min(activity_date) as first_day,
        max(record_loaded_at) as record_loaded_at
    from daily
    where event_rows > 0
    group by server_id

),

-- from the server's first day to the last day that the source holds for anyone
days as (

    select
        servers.server_id,
        servers.record_loaded_at,
        {{ tidemark.day_of('calendar', 'servers.first_day') }} as activity_date
    from servers
    cross join last_day
    cross join {{ tidemark.each_day('servers.first_day', 'last_day.last_day') }} as calendar

),

final as (

    select
        days.server_id,
        days.activity_date,
        coalesce(daily.active_users, 0) as active_users,
        coalesce(daily.total_interactions, 0) as total_interactions,
        coalesce(daily.total_duration, 0) as total_duration,
        coalesce(daily.active_users_7d, 0) as active_users_7d,
        coalesce(daily.record_loaded_at, days.record_loaded_at) as record_loaded_at
    from days
    left join daily
        on
            days.server_id = daily.server_id
            and days.activity_date = daily.activity_date

)

select * from final

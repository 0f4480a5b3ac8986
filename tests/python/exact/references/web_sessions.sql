with sessions as (

    select
        team_id,
        session_id,
        min(happened_at) as session_start,
        max(happened_at) as session_end,
        count(*) as total_events,
        count(*) filter (where is_view or event = '$autocapture') as things_done
    from web_events_versions
    where is_current and session_id is not null
    group by team_id, session_id

)

select * from sessions

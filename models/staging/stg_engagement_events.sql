with source as (

    select
        *,
        coalesce(is_deleted, false) as is_gone
    from (
        {{ tidemark.contract_rows(source('raw', 'engagement_events')) }}
    ) as contract

),

final as (

    select
        event_id,
        user_id,
        server_id,
        session_date as occurred_at,
        date_trunc('hour', session_date) as metric_hour,
        cast(session_date as date) as activity_date,
        feature_used,
        interaction_count,
        duration_minutes,
        is_gone as is_deleted,
        updated_at as loaded_at,
        {{ tidemark.failed_values() }}
        case
            {{ tidemark.unfit_values(source('raw', 'engagement_events')) }}
            when event_id is null then 'event_id is null'
            when {{ tidemark.is_blank('event_id') }} then 'event_id is blank'
            when server_id is null then 'server_id is null'
            when {{ tidemark.is_blank('server_id') }} then 'server_id is blank'
            when session_date is null then 'session_date is null'
            when {{ tidemark.is_before_earliest_event('session_date') }} then 'session_date is before earliest_event'
            when {{ dbt.dateadd('hour', -24, 'session_date') }} > updated_at
                then 'session_date is more than 24 hours after updated_at'
            when {{ tidemark.is_beyond_retention('engagement_events', 'session_date') }} then 'beyond_retention'
            -- a deleted version needs no measures
            when is_gone then null
            when user_id is null then 'user_id is null'
            when {{ tidemark.is_blank('user_id') }} then 'user_id is blank'
            when interaction_count is null then 'interaction_count is null'
            when duration_minutes is null then 'duration_minutes is null'
            when interaction_count < 0 then 'interaction_count is negative'
            when duration_minutes < 0 then 'duration_minutes is negative'
        end as quarantine_reason
    from source

)

select * from final

with source as (

    select * from {{ source('raw', 'web_events') }}

),

final as (

    select
        event_id,
        team_id,
        person_id,
        session_id,
        event,
        timestamp as occurred_at,
        date_trunc('hour', timestamp) as period_bucket,
        cast(timestamp as date) as activity_date,
        host,
        pathname,
        device_type,
        browser,
        os,
        referring_domain,
        utm_source,
        utm_medium,
        utm_campaign,
        country_code,
        loaded_at,
        {{ failed_values() }}
        case
            {{ when_failed_values() }}
            when event_id is null then 'event_id is null'
            when team_id is null then 'team_id is null'
            when timestamp is null then 'timestamp is null'
            when {{ dbt.dateadd('hour', -24, 'timestamp') }} > loaded_at
                then 'timestamp is more than 24 hours after loaded_at'
            when {{ is_beyond_retention('web_events', 'timestamp') }} then 'beyond_retention'
        end as quarantine_reason
    from source

)

select * from final

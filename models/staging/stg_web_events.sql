with source as (

    {{ tidemark.contract_rows(source('raw', 'web_events')) }}

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
        {{ tidemark.failed_values() }}
        case
            {{ tidemark.unfit_values(source('raw', 'web_events')) }}
            when event_id is null then 'event_id is null'
            when {{ tidemark.is_blank('event_id') }} then 'event_id is blank'
            when team_id is null then 'team_id is null'
            when {{ tidemark.is_blank('person_id') }} then 'person_id is blank'
            when {{ tidemark.is_blank('session_id') }} then 'session_id is blank'
            when timestamp is null then 'timestamp is null'
            when {{ tidemark.is_before_earliest_event('timestamp') }} then 'timestamp is before earliest_event'
            when {{ dbt.dateadd('hour', -24, 'timestamp') }} > loaded_at
                then 'timestamp is more than 24 hours after loaded_at'
            when {{ tidemark.is_beyond_retention('web_events', 'timestamp') }} then 'beyond_retention'
        end as quarantine_reason
    from source

)

select * from final

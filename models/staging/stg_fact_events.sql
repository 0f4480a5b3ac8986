with source as (

    select
        *,
        coalesce(is_deleted, false) as is_gone
    from (
        {{ tidemark.contract_rows(source('raw', 'fact_events')) }}
    ) as contract

),

final as (

    select
        event_id,
        company_id,
        event_timestamp as occurred_at,
        cast({{ tidemark.to_utc('event_timestamp') }} as date) as activity_date,
        events,
        is_gone as is_deleted,
        loaded_at,
        {{ tidemark.failed_values() }}
        case
            {{ tidemark.unfit_values(source('raw', 'fact_events')) }}
            when event_id is null then 'event_id is null'
            when {{ tidemark.is_blank('event_id') }} then 'event_id is blank'
            when company_id is null then 'company_id is null'
            when {{ tidemark.is_blank('company_id') }} then 'company_id is blank'
            when event_timestamp is null then 'event_timestamp is null'
            when {{ tidemark.is_before_earliest_event('event_timestamp') }}
                then 'event_timestamp is before earliest_event'
            -- of an infinite time there is none in UTC
            when
                coalesce(
                    {{ dbt.dateadd('hour', -24, tidemark.to_utc('event_timestamp')) }} > loaded_at,
                    loaded_at is not null
                )
                then 'event_timestamp is more than 24 hours after loaded_at'
            when {{ tidemark.is_beyond_retention('fact_events', 'event_timestamp') }} then 'beyond_retention'
            -- a deleted version needs no measures
            when is_gone then null
            when events is null then 'events is null'
            when events < 0 then 'events is negative'
        end as quarantine_reason
    from source

)

select * from final

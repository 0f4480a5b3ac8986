with source as (

    select
        *,
        coalesce(is_deleted, false) as is_gone
    from {{ source('raw', 'fact_events') }}

),

final as (

    select
        event_id,
        company_id,
        event_timestamp as occurred_at,
        cast({{ to_utc('event_timestamp') }} as date) as activity_date,
        events,
        is_gone as is_deleted,
        loaded_at,
        case
            when event_id is null then 'event_id is null'
            when company_id is null then 'company_id is null'
            when event_timestamp is null then 'event_timestamp is null'
            when {{ dbt.dateadd('hour', -24, to_utc('event_timestamp')) }} > loaded_at
                then 'event_timestamp is more than 24 hours after loaded_at'
            when {{ is_beyond_retention('fact_events', 'event_timestamp') }} then 'beyond_retention'
            -- a deleted version needs no measures
            when is_gone then null
            when events is null then 'events is null'
            when events < 0 then 'events is negative'
        end as quarantine_reason
    from source

)

select * from final

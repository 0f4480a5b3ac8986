{{ config(materialized='view') }}

with api as (

    select * from {{ ref('company_daily_usage') }}

),

facts as (

    select * from {{ ref('fact_events_daily') }}

),

-- facts of earlier days were deleted: there is nothing to compare with either
kept_facts as (

    select max(kept_from) as kept_from from {{ source('ops', 'retention_floors') }}
    where subject = 'fact_events_daily'

),

final as (

    select
        coalesce(api.company_id, facts.company_id) as company_id,
        coalesce(api.activity_date, facts.activity_date) as activity_date,
        api.events as api_events,
        coalesce(facts.events, 0) as fact_events,
        -- null where the API has not spoken: there is nothing to compare with
        api.events - coalesce(facts.events, 0) as difference,
        coalesce(api.record_loaded_at, facts.record_loaded_at) as record_loaded_at
    from api
    full outer join facts
        on
            api.company_id = facts.company_id
            and api.activity_date = facts.activity_date
    cross join kept_facts
    where
        kept_facts.kept_from is null
        or coalesce(api.activity_date, facts.activity_date) >= kept_facts.kept_from

)

select * from final

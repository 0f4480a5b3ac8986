{{ config(group='company', enabled='company' in var('domains'), severity='warn') }}

-- the API and the events come from elsewhere, so this is news and no fault of ours
with reconciliation as (

    select * from {{ ref('company_usage_reconciliation') }}

),

final as (

    select
        company_id,
        activity_date,
        api_events,
        fact_events,
        difference
    from reconciliation
    where
        abs(difference) > {{ var('reconciliation_tolerance') }} * case
            when api_events > fact_events then api_events
            else fact_events
        end
        and {{ tidemark.known_alike(['company_daily_usage', 'fact_events_daily']) }}

)

select * from final

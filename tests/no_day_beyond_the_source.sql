{{ config(group='company', enabled='company' in var('domains')) }}

{% set tables = ['company_daily_usage', 'fact_events_daily'] %}

-- no mart knows of a day that its source does not hold
with sources as (

    select
        'company_daily_activity' as mart,
        max(usage_date) as last_day
    from {{ ref('reported_days') }}
    union all
    select
        'fact_events_daily' as mart,
        max(activity_date) as last_day
    from {{ ref('stg_fact_events') }}
    where
        {{ tidemark.valid_and_visible() }}
        and {{ tidemark.written_days('occurred_at', tables, onwards=true) }}

),

marts as (

    select
        'company_daily_activity' as mart,
        activity_date
    from {{ ref('company_daily_activity') }}
    where {{ tidemark.written_days('activity_date', tables) }}
    union all
    select
        'fact_events_daily' as mart,
        activity_date
    from {{ ref('fact_events_daily') }}
    where
        {{ tidemark.not_earlier_than('activity_date', tidemark.first_kept_day(model)) }}
        and {{ tidemark.written_days('activity_date', tables) }}

),

final as (

    select
        marts.mart,
        marts.activity_date,
        sources.last_day
    from marts
    left join sources on marts.mart = sources.mart
    where marts.activity_date > sources.last_day or sources.last_day is null

)

select * from final

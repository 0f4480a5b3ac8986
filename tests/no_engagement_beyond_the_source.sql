{{ config(enabled='engagement' in var('domains')) }}

{% set tables = ['fct_engagement_metrics', 'feature_engagement_daily', 'server_engagement_daily'] %}

-- no mart knows of an hour or day that its source does not hold
with source_rows as (

    select max(activity_date) as last_day from {{ ref('stg_engagement_events') }}
    where
        {{ tidemark.valid_and_visible() }}
        and {{ tidemark.written_days('occurred_at', tables, onwards=true) }}

),

marts as (

    select
        'fct_engagement_metrics' as mart,
        cast(metric_hour as date) as activity_date
    from {{ ref('fct_engagement_metrics') }}
    where
        {{ tidemark.not_earlier_than('metric_hour', tidemark.first_kept_day(model)) }}
        and {{ tidemark.written_days('metric_hour', tables) }}
    union all
    select
        'feature_engagement_daily' as mart,
        activity_date
    from {{ ref('feature_engagement_daily') }}
    where
        {{ tidemark.not_earlier_than('activity_date', tidemark.first_kept_day(model)) }}
        and {{ tidemark.written_days('activity_date', tables) }}
    union all
    select
        'engagement_daily' as mart,
        activity_date
    from {{ ref('engagement_daily') }}
    where
        {{ tidemark.not_earlier_than('activity_date', tidemark.first_kept_day(model)) }}
        and {{ tidemark.written_days('activity_date', tables) }}

),

final as (

    select
        marts.mart,
        marts.activity_date,
        source_rows.last_day
    from marts
    cross join source_rows
    where marts.activity_date > source_rows.last_day or source_rows.last_day is null

)

select * from final

{{ config(cluster_by='to_date(period_bucket)') }}

with events as (

    select
        *,
        event in ('$pageview', '$screen') as is_view
    from {{ ref('stg_web_events') }}
    where {{ tidemark.touched_partitions(ref('stg_web_events'), entity='team_id', day='period_bucket') }}
    qualify {{ tidemark.latest_version(ref('stg_web_events')) }}

),

final as (

    select
        team_id,
        period_bucket,
        host,
        device_type,
        pathname,
        browser,
        os,
        referring_domain,
        utm_source,
        utm_medium,
        utm_campaign,
        country_code,
        count(case when is_view then 1 end) as pageviews,
        count(distinct case when is_view then session_id end) as sessions,
        count(distinct case when is_view then person_id end) as persons,
        count(*) as event_rows,
        {{ tidemark.as_of() }} as record_loaded_at
    from events
    group by
        team_id,
        period_bucket,
        host,
        device_type,
        pathname,
        browser,
        os,
        referring_domain,
        utm_source,
        utm_medium,
        utm_campaign,
        country_code

)

select * from final

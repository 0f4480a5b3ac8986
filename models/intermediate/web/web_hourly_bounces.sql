{{ config(cluster_by='to_date(period_bucket)') }}

with sessions as (

    select * from {{ ref('web_sessions') }}
    where {{ tidemark.changed_partitions(ref('web_sessions'), entity='team_id', day='period_bucket') }}

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
        count(*) as sessions,
        count(distinct person_id) as persons,
        count(case when is_bounce then 1 end) as bounces,
        cast(sum(duration_seconds) as bigint) as total_session_duration,
        {{ tidemark.as_of() }} as record_loaded_at
    from sessions
    where pageviews > 0
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

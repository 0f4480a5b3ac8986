{{ config(cluster_by='activity_date') }}

with events as (

    select * from {{ ref('stg_engagement_events') }}
    where {{ tidemark.touched_partitions(ref('stg_engagement_events'), entity='server_id', day='activity_date') }}
    qualify {{ tidemark.latest_version(ref('stg_engagement_events')) }}

),

final as (

    select
        server_id,
        feature_used,
        activity_date,
        count(distinct user_id) as active_users,
        cast(sum(interaction_count) as bigint) as total_interactions,
        cast(sum(duration_minutes) as decimal(38, 2)) as total_duration,
        {{ tidemark.as_of() }} as record_loaded_at
    from events
    where not is_deleted
    group by server_id, feature_used, activity_date

)

select * from final

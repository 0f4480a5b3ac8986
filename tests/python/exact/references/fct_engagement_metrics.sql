select
    server_id,
    date_trunc('hour', happened_at) as metric_hour,
    count(distinct user_id) as active_users,
    sum(interaction_count) as total_interactions,
    sum(duration_minutes) as total_duration
from engagement_events_versions
where is_current and not is_deleted
group by all

select
    consumer_id,
    activity_date,
    event_type,
    count(*) as events
from customer_events_versions
where is_current
group by all

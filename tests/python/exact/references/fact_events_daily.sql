select
    company_id,
    activity_date,
    sum(events) as events,
    count(*) as event_rows
from fact_events_versions
where is_current and not is_deleted
group by company_id, activity_date

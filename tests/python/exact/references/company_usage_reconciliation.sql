-- Every company-day that either side knows; nothing to compare with where the API has not spoken.
select
    company_id,
    activity_date,
    usage.events as api_events,
    coalesce(facts.events, 0) as fact_events,
    usage.events - coalesce(facts.events, 0) as difference
from company_daily_activity as usage
full outer join fact_events_daily as facts using (company_id, activity_date)

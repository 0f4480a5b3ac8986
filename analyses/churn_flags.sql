-- The churn flag inside the window of the outage, for the companies of the seed story. Run it before and after the late
-- answer of the API: a null says that nobody could know.
{{ config(enabled='company' in var('domains')) }}

select
    company_id,
    activity_date,
    active_users_7d,
    days_reported_7d,
    is_churn_risk
from {{ ref('company_daily_activity') }}
where
    company_id in ('acme', 'churner', 'quiet-in-outage', 'saved-by-answer', 'silent-only-in-outage')
    and activity_date = {{ tidemark.date_literal('2025-10-14') }}
order by company_id

-- Active when the last event is not older than 30 minutes at the clock.
select
    *,
    last_activity >= getvariable('as_of') - interval 30 minutes as is_active,
    getvariable('as_of') as known_until
from session_metrics

select * exclude (event_rows)
from web_hourly_stats
where
    pageviews > 0
    and team_id in (select team_id from dim_web_teams where is_enabled)

select * from web_hourly_bounces
where team_id in (select team_id from dim_web_teams where is_enabled)

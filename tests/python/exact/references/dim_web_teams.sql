-- Every team as it was last told.
select
    team_id,
    name,
    coalesce(is_enabled, false) as is_enabled,
    enabled_at
from raw.web_teams
where updated_at <= getvariable('as_of') and team_id is not null
qualify row_number() over (
    partition by team_id
    order by
        updated_at desc,
        name desc nulls last,
        is_enabled desc nulls last,
        enabled_at desc nulls last
) = 1

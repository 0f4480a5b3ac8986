-- One finding per domain of the seed story that something late changes. Run it before and after the hour that brings it.
{{ config(enabled='consumers' in var('domains') and 'learning' in var('domains') and 'web' in var('domains')) }}

with findings as (

    select
        1 as position,
        'customers of con-story on 2025-10-01' as finding,
        cast(total_customers as varchar) as value
    from {{ ref('consumer_analytics') }}
    where consumer_id = 'con-story' and snapshot_timestamp = cast('2025-10-02 00:00:00' as timestamp)
    union all
    select
        2 as position,
        'what attempt-next changed in mastery' as finding,
        cast(mastery_delta as varchar) as value
    from {{ ref('mastery_deltas') }}
    where trigger_event_id = 'attempt-next'
    union all
    select
        3 as position,
        'when the session s-gets-start began' as finding,
        cast(session_start as varchar) as value
    from {{ ref('web_sessions') }}
    where session_id = 's-gets-start'
    union all
    select
        4 as position,
        'pageviews of team 9, enabled late' as finding,
        cast(coalesce(sum(pageviews), 0) as varchar) as value
    from {{ ref('web_pre_aggregated_stats') }}
    where team_id = 9

)

select
    finding,
    value
from findings
order by position

-- Findings of the seed story that something late changes, one or two per domain. Run it before and after the hour that
-- brings it.
{{ config(enabled='consumers' in var('domains') and 'learning' in var('domains') and 'web' in var('domains')) }}

with findings as (

    select
        1 as item,
        'customers of con-story on 2025-10-01' as finding,
        cast(total_customers as varchar) as figure
    from {{ ref('consumer_analytics') }}
    where consumer_id = 'con-story' and snapshot_timestamp = {{ tidemark.timestamp_literal('2025-10-02 00:00:00') }}
    union all
    select
        2 as item,
        'what attempt-next changed in mastery' as finding,
        cast(mastery_delta as varchar) as figure
    from {{ ref('mastery_deltas') }}
    where trigger_event_id = 'attempt-next'
    union all
    select
        3 as item,
        'when the session s-gets-start began' as finding,
        {{ tidemark.column_text('session_start', tidemark.timestamp_type()) }} as figure
    from {{ ref('web_sessions') }}
    where session_id = 's-gets-start'
    union all
    select
        4 as item,
        'pageviews of team 9, enabled late' as finding,
        cast(coalesce(sum(pageviews), 0) as varchar) as figure
    from {{ ref('web_pre_aggregated_stats') }}
    where team_id = 9

)

select
    finding,
    figure
from findings
order by item

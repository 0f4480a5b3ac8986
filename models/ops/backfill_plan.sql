{%- set limits = var('backfill') -%}

with gaps as (

    select * from {{ ref('data_gaps') }}

),

clock as (

    select as_of from {{ source('ops', 'etl_job_runs') }}
    qualify row_number() over (order by ledger_entry desc) = 1

),

-- what was tried since a partition was last repaired
tries as (

    select
        model_name,
        entity,
        day,
        count(case when outcome = 'started' then 1 end) > count(case when outcome <> 'started' then 1 end) as is_open,
        count(case when outcome = 'failed' then 1 end) as failed_attempts,
        max(case when outcome = 'failed' then as_of end) as failed_as_of
    from (
        select
            *,
            max(case when outcome = 'repaired' then started_at end) over (
                partition by model_name, entity, day
            ) as repaired_at
        from {{ source('ops', 'backfill_attempts') }}
    ) as attempts
    where started_at > repaired_at or repaired_at is null
    group by model_name, entity, day

),

disabled as (

    {% if 'web' in var('domains') -%}
    select
        'web' as domain,
        cast(team_id as varchar) as entity
    from {{ ref('dim_web_teams') }}
    where not is_enabled
    {%- else -%}
    select
        cast(null as varchar) as domain,
        cast(null as varchar) as entity
    where false
    {%- endif %}

),

tried as (

    select
        gaps.*,
        clock.as_of as known_until,
        coalesce(tries.is_open, false) as is_open,
        coalesce(tries.failed_attempts, 0) as failed_attempts,
        tries.failed_as_of,
        disabled.entity is not null as is_disabled,
        {{ is_priority_entity('gaps.entity') }} as is_priority
    from gaps
    cross join clock
    left join tries
        on
            gaps.model_name = tries.model_name
            and gaps.entity = tries.entity
            and gaps.day is not distinct from tries.day
    left join disabled
        on
            gaps.domain = disabled.domain
            and gaps.entity = disabled.entity
            and gaps.strategy <> 'whole'

),

-- a replay from the middle would build on what is damaged before it: an entity's days are repaired together, from the
-- first on, and count as the last of them
units as (

    select
        *,
        {% set unit = "over (partition by model_name, entity, case when strategy <> 'replay' then day end)" -%}
        max(failed_attempts) {{ unit }} as unit_failures,
        max(failed_as_of) {{ unit }} as unit_failed_as_of,
        case when strategy = 'replay' then min(day) {{ unit }} else day end as request_day,
        -- what has no day counts as the clock's
        coalesce(max(day) {{ unit }}, cast(known_until as date)) as plan_day
    from tried

),

backed_off as (

    select
        *,
        -- twice as long after each further failure, up to 64 times
        {{ dbt.dateadd(
            'hour',
            limits.retry_after_hours
            ~ ' * cast(power(2, least(unit_failures - ' ~ limits.failures ~ ', 6)) as integer)',
            'unit_failed_as_of'
        ) }} as retry_at
    from units
    where unit_failures >= {{ limits.failures }}
    union all
    select
        *,
        cast(null as timestamp) as retry_at
    from units
    where unit_failures < {{ limits.failures }}

),

-- what is built on a table that is rebuilt whole may be right as soon as that is
damaged_tables as (

    select model_name
    from units
    where strategy = 'whole'
    group by model_name
    having min(unit_failures) < {{ limits.failures }}

),

judged as (

    select
        backed_off.*,
        damaged_tables.model_name as waits_for,
        case
            when backed_off.is_open then 'running'
            when backed_off.is_disabled then 'disabled'
            when backed_off.expected_rows = 0 and backed_off.stored_rows = 0 then 'no source'
            when backed_off.retry_at > backed_off.known_until then 'stuck'
            when damaged_tables.model_name is not null then 'waiting'
            else 'candidate'
        end as judgement
    from backed_off
    left join damaged_tables
        on concat(', ', backed_off.built_on, ', ') like concat('%, ', damaged_tables.model_name, ', %')
    qualify
        row_number() over (
            partition by backed_off.model_name, backed_off.entity, backed_off.day order by damaged_tables.model_name
        ) = 1

),

prioritised as (

    select
        *,
        judgement = 'candidate' as is_candidate,
        count(case when judgement in ('candidate', 'waiting') then 1 end) over () as damaged_partitions,
        max(case when judgement = 'candidate' and is_priority then 1 else 0 end) over (
            partition by domain, plan_day
        ) as day_priority
    from judged

),

ranked as (

    select
        *,
        dense_rank() over (partition by domain, is_candidate order by day_priority desc, plan_day desc) as day_rank
    from prioritised

),

decided as (

    select
        *,
        case
            when not is_candidate then judgement
            when day_rank > {{ limits.max_days }} then 'later'
            when damaged_partitions < {{ limits.min_partitions }} then 'below minimum'
            else 'planned'
        end as decision
    from ranked

),

final as (

    select
        model_name,
        domain,
        strategy,
        entity,
        day,
        state,
        differing_rows,
        differing_columns,
        found_at,
        is_priority,
        plan_day,
        request_day,
        case when is_candidate then cast(day_rank as integer) end as plan_order,
        decision,
        decision = 'planned' as is_planned,
        case decision
            when 'running' then 'it is being repaired'
            when 'disabled' then 'the entity is disabled'
            when 'no source' then 'the source has no rows of it'
            when 'stuck' then 'its repair failed ' || unit_failures || ' times'
            when 'waiting' then waits_for || ' comes first'
            when 'later' then 'newer days come first'
            when 'below minimum' then 'fewer than {{ limits.min_partitions }} partitions are damaged'
            else state
        end as reason,
        cast(unit_failures as integer) as failed_attempts,
        retry_at,
        known_until
    from decided

)

select * from final

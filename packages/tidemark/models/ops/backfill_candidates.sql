{%- set limits = tidemark.setting('backfill') -%}

with gaps as (

    select * from {{ ref('data_gaps') }}

),

attempts as (

    select * from {{ ref('gap_attempts') }}

),

clock as (

    select as_of from {{ source('ops', 'etl_job_runs') }}
    qualify row_number() over (order by ledger_entry desc) = 1

),

disabled as (

    {% for domain, enabled in tidemark.setting('enabled_entities').items() if tidemark.is_switched_on(domain) -%}
    select
        '{{ domain }}' as domain,
        cast({{ enabled.entity }} as varchar) as entity
    from {{ ref(project_name, enabled.model) }}
    where not ({{ enabled.condition }})

    union all

    {% endfor -%}
    select
        cast(null as varchar) as domain,
        cast(null as varchar) as entity
    where false

),

tried as (

    select
        gaps.*,
        clock.as_of as known_until,
        coalesce(attempts.is_open, false) as is_open,
        coalesce(attempts.failed_attempts, 0) as failed_attempts,
        attempts.failed_as_of,
        disabled.entity is not null as is_disabled
    from gaps
    cross join clock
    left join attempts
        on
            gaps.model_name = attempts.model_name
            and gaps.entity = attempts.entity
            and gaps.day is not distinct from attempts.day
    left join disabled
        on
            gaps.domain = disabled.domain
            and gaps.entity = disabled.entity
            and gaps.strategy <> 'full'

),

-- a replay from the middle would build on what is damaged before it: an entity's days are repaired together, from the
-- first on, and count as the last of them; whether that is the first, only a look from the entity's first day on tells
units as (

    select
        *,
        {% set unit = "partition by model_name, entity, case when strategy <> 'replay' then day end" -%}
        max(failed_attempts) over ({{ unit }}) as unit_failures,
        max(failed_as_of) over ({{ unit }}) as unit_failed_as_of,
        first_value(is_outdated) over ({{ unit }} order by day) as is_outdated_unit,
        strategy = 'replay' and first_value(
            coalesce(compared_from > {{ tidemark.date_literal(tidemark.before_all_days()) }}, true)
        ) over ({{ unit }} order by day) as may_begin_earlier,
        case when strategy = 'replay' then min(day) over ({{ unit }}) else day end as request_day,
        -- what has no day counts as the clock's
        coalesce(max(day) over ({{ unit }}), cast(known_until as date)) as plan_day
    from tried

),

backed_off as (

    select
        *,
        -- twice as long after each further failure, up to 64 times
        case when unit_failures >= {{ limits.failures }} then {{ dbt.dateadd(
            'hour',
            limits.retry_after_hours
            ~ ' * cast(power(2, greatest(0, least(unit_failures - ' ~ limits.failures ~ ', 6))) as integer)',
            'unit_failed_as_of'
        ) }} end as retry_at
    from units

),

-- what is built on a table that is rebuilt whole may be right as soon as that is
damaged_tables as (

    select model_name
    from units
    where strategy = 'full'
    group by model_name
    having min(unit_failures) < {{ limits.failures }}

),

final as (

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
        end as standing
    from backed_off
    left join damaged_tables
        on concat(', ', backed_off.built_on, ', ') like concat('%, ', damaged_tables.model_name, ', %')
    qualify
        row_number() over (
            partition by backed_off.model_name, backed_off.entity, backed_off.day order by damaged_tables.model_name
        ) = 1

)

select * from final

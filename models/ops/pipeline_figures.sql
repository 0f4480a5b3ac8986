{#- Not a view: see job_results. -#}
{{ config(materialized='ephemeral') }}

{% set figures_of_jobs = {
    'watermark_lag': ['lag_seconds', 'null', 'known_until'],
    'job_failures': ['coalesce(failures, 0)', 'error_message', 'failed_at'],
    'job_time': ['seconds', 'null', 'completed_at'],
    'job_rows': ['records_processed', 'null', 'completed_at'],
    'job_partitions': ['partitions_touched', 'null', 'completed_at'],
} %}

with clock as (

    select as_of from {{ source('ops', 'etl_job_runs') }}
    qualify row_number() over (order by ledger_entry desc) = 1

),

-- what the gate saw, the last time that it took each figure
measured as (

    select * from {{ source('ops', 'measurements') }}
    qualify rank() over (partition by metric order by ledger_entry desc) = 1

),

runs as (

    select
        ledger.job_name,
        ledger.status,
        ledger.completed_at,
        {{ seconds_between('ledger.started_at', 'ledger.completed_at') }} as seconds,
        ledger.as_of > {{ dbt.dateadd('day', -1, 'clock.as_of') }} as is_of_the_day,
        row_number() over (order by ledger.ledger_entry desc) as runs_ago
    from {{ source('ops', 'etl_job_runs') }} as ledger
    cross join clock
    where ledger.job_name like 'dbt %' and ledger.job_type = 'model' and ledger.status in ('success', 'failed')

),

jobs as (

    select
        measured.subject,
        measured.warning_at,
        measured.critical_at,
        clock.as_of,
        {{ dbt.datediff('job_results.known_until', 'clock.as_of', 'second') }} as lag_seconds,
        job_results.*
    from measured
    cross join clock
    left join {{ ref('job_results') }} as job_results on measured.subject = job_results.job_name
    where measured.metric = 'watermark_lag'

),

final as (

    select
        'run_time' as metric,
        runs.job_name as subject,
        runs.seconds as amount,
        runs.status as detail,
        runs.completed_at as reference_time,
        cast(null as bigint) as warning_at,
        cast(null as bigint) as critical_at,
        clock.as_of
    from runs
    cross join clock
    where runs.runs_ago = 1

    union all

    select
        'failed_runs' as metric,
        'last 24 hours' as subject,
        count(runs.status) as amount,
        null as detail,
        max(runs.completed_at) as reference_time,
        null as warning_at,
        null as critical_at,
        clock.as_of
    from clock
    left join runs on runs.status = 'failed' and runs.is_of_the_day
    group by clock.as_of

    union all

    select
        measured.metric,
        measured.subject,
        -- what was pending then may have been processed since
        case when jobs.last_processed_timestamp >= measured.as_of then 0 else measured.amount end as amount,
        measured.detail,
        measured.reference_time,
        measured.warning_at,
        measured.critical_at,
        measured.as_of
    from measured
    left join jobs on measured.subject = jobs.subject and measured.metric = 'pending_rows'
    where measured.metric <> 'watermark_lag'

    {% for metric, (amount, detail, reference_time) in figures_of_jobs.items() -%}
    union all

    select
        '{{ metric }}' as metric,
        subject,
        {{ amount }} as amount,
        {{ detail }} as detail,
        {{ reference_time }} as reference_time,
        {{ 'warning_at' if metric == 'watermark_lag' else 'null' }} as warning_at,
        {{ 'critical_at' if metric == 'watermark_lag' else 'null' }} as critical_at,
        as_of
    from jobs

    {% endfor -%}
)

select * from final

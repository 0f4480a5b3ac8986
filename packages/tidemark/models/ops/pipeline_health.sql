{%- set ledger = source('ops', 'etl_job_runs') -%}
{%- set figures_of_the_ledger = [
    ('run_time', 'last_run', 'seconds', 'status', 'completed_at'),
    ('failed_runs', 'failed_runs', 'failures', 'null', 'failed_at'),
    ('watermark_lag', 'jobs', 'lag_seconds', 'null', 'known_until'),
    ('job_failures', 'jobs', 'coalesce(failures, 0)', 'error_message', 'failed_at'),
    ('job_time', 'jobs', 'seconds', 'null', 'completed_at'),
    ('job_rows', 'jobs', 'records_processed', 'null', 'completed_at'),
    ('job_partitions', 'jobs', 'partitions_touched', 'null', 'completed_at'),
    ('unpublished', 'refusals', 'tests', 'test_name', 'refused_at'),
    ('job_failures', 'ingest_jobs', 'failures', 'error_message', 'failed_at'),
    ('job_time', 'ingest_jobs', 'seconds', 'null', 'completed_at'),
    ('job_rows', 'ingest_jobs', 'records_processed', 'null', 'completed_at'),
    ('unread_messages', 'ingest_jobs', 'lag', 'null', 'ended_at'),
    ('decisions', 'decisions', 'models', 'null', 'checked_at'),
    ('open_gaps', 'gaps', 'gaps', 'null', 'checked_at'),
    ('repair_success', 'repairs', 'success_percent', 'null', 'finished_at'),
    ('repair_time', 'repairs', 'seconds', 'null', 'finished_at'),
    ('test_age', 'tested', 'seconds', 'null', 'whole_as_of'),
] -%}

with clock as (

    select as_of from {{ ledger }}
    qualify row_number() over (order by ledger_entry desc) = 1

),

-- what the gate saw last; it does not decide or count bad rows every time
measured as (

    select * from {{ source('ops', 'gate_log') }}
    qualify rank() over (
        partition by case when metric in ('decision', 'quarantined_rows') then metric end
        order by ledger_entry desc
    ) = 1

),

limits as (

    {{ tidemark.health_limits() }}

),

last_run as (

    {{ tidemark.last_run(ledger) }}

),

failed_runs as (

    {{ tidemark.failed_runs(ledger, 'clock') }}

),

job_results as (

    {{ tidemark.job_results(ledger) }}

),

jobs as (

    select
        job_results.*,
        measured.subject,
        {{ dbt.datediff('job_results.known_until', 'clock.as_of', 'second') }} as lag_seconds,
        clock.as_of
    from measured
    cross join clock
    left join job_results on measured.subject = job_results.job_name
    where measured.metric = 'watermark_lag'

),

-- what was refused before it was published, and has not been built since
refusals as (

    select
        refused.model_name as subject,
        count(distinct refused.test_name) as tests,
        min(refused.test_name) as test_name,
        min(refused.refused_at) as refused_at,
        clock.as_of
    from {{ source('ops', 'refusals') }} as refused
    left join job_results on refused.model_name = job_results.job_name
    cross join clock
    where job_results.completed_at is null or refused.refused_at > job_results.completed_at
    group by refused.model_name, clock.as_of

),

ingest_jobs as (

    select
        job_results.*,
        job_results.job_name as subject,
        -- what a consumer of events has still to read, if the job is one
        cast({{ tidemark.json_text('job_results.metadata_json', 'lag') }} as bigint) as lag,
        clock.as_of
    from ({{ tidemark.job_results(ledger, job_type='ingest') }}) as job_results
    cross join clock

),

decisions as (

    select
        detail as subject,
        count(*) as models,
        max(measured_at) as checked_at,
        max(as_of) as as_of
    from measured
    where metric = 'decision'
    group by detail

),

gaps as (

    select
        open_gaps.*,
        clock.as_of
    from ({{ tidemark.open_gaps(source('ops', 'partition_coverage')) }}) as open_gaps
    cross join clock

),

repairs as (

    {{ tidemark.repairs(source('ops', 'backfill_attempts'), 'clock') }}

),

-- how long ago every test of a model looked at all of it
tested as (

    select
        results.model_name as subject,
        {{ dbt.datediff('min(results.whole_as_of)', 'max(clock.as_of)', 'second') }} as seconds,
        min(results.whole_as_of) as whole_as_of,
        max(clock.as_of) as as_of
    from {{ source('ops', 'test_results') }} as results
    cross join clock
    where results.model_name is not null
    group by results.model_name

),

figures as (

    {% for metric, part, amount, detail, reference_time in figures_of_the_ledger -%}
    select
        '{{ metric }}' as metric,
        subject,
        {{ amount }} as amount,
        {{ detail }} as detail,
        {{ reference_time }} as reference_time,
        as_of
    from {{ part }}

    union all

    {% endfor -%}
    select
        measured.metric,
        measured.subject,
        -- what was pending then may have been processed since
        case when jobs.last_processed_timestamp >= measured.as_of then 0 else measured.amount end as amount,
        measured.detail,
        measured.reference_time,
        measured.as_of
    from measured
    left join jobs on measured.subject = jobs.subject and measured.metric = 'pending_rows'
    where measured.metric not in ('watermark_lag', 'decision')

),

judged as (

    select
        figures.*,
        case
            when figures.metric in ('run_time', 'job_time', 'source_age', 'watermark_lag', 'repair_time', 'test_age')
                then 'seconds'
            when figures.metric = 'repair_success' then 'percent'
            else 'count'
        end as unit,
        coalesce(measured.warning_at, limits.warning_at) as warning_at,
        coalesce(measured.critical_at, limits.critical_at) as critical_at
    from figures
    left join measured on figures.metric = measured.metric and figures.subject = measured.subject
    left join limits on figures.metric = limits.metric

),

final as (

    select
        judged.metric,
        judged.subject,
        cast(judged.amount as decimal(18, 3)) as amount,
        judged.unit,
        case
            when judged.metric = 'source_age' and judged.detail = 'fresh' then 'normal'
            when judged.metric = 'source_age' and judged.amount is null and judged.critical_at is null then 'warning'
            when judged.amount is null and judged.critical_at is not null then 'critical'
            when judged.amount > judged.critical_at then 'critical'
            when judged.amount = judged.critical_at and judged.unit = 'count' then 'critical'
            when judged.amount >= judged.warning_at then 'warning'
            else 'normal'
        end as level,
        cast(judged.warning_at as bigint) as warning_at,
        cast(judged.critical_at as bigint) as critical_at,
        cast(judged.detail as varchar) as detail,
        judged.reference_time,
        judged.as_of
    from judged

)

select * from final

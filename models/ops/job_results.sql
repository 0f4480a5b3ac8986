-- Not a view: pipeline_health, shown on its own, has to answer before anything was ever built.
{{ config(materialized='ephemeral') }}

with ended as (

    select
        *,
        {{ seconds_between('started_at', 'completed_at') }} as seconds,
        coalesce(
            max(case when status = 'success' then ledger_entry end) over (partition by job_name), 0
        ) as success_entry
    from {{ source('ops', 'etl_job_runs') }}
    where job_type = 'model' and status in ('success', 'failed')

),

jobs as (

    select distinct job_name from ended

),

watermarks as (

    {{ last_runs(source('ops', 'etl_job_runs')) }}

),

failures as (

    select
        job_name,
        count(distinct run_id) as failures,
        max(completed_at) as failed_at,
        max_by(error_message, ledger_entry) as error_message
    from ended
    where ledger_entry > success_entry
    group by job_name

),

final as (

    select
        jobs.job_name,
        watermarks.last_processed_timestamp,
        watermarks.as_of as known_until,
        successes.completed_at,
        successes.seconds,
        successes.records_processed,
        successes.partitions_touched,
        coalesce(failures.failures, 0) as failures,
        failures.failed_at,
        failures.error_message
    from jobs
    left join watermarks on jobs.job_name = watermarks.job_name
    left join ended as successes
        on jobs.job_name = successes.job_name and successes.ledger_entry = successes.success_entry
    left join failures on jobs.job_name = failures.job_name

)

select * from final

-- The last 300 runs of dbt: how long they took, how many rows they wrote, and how they ended.
with ledger as (

    select * from {{ source('ops', 'etl_job_runs') }}

),

runs as (

    select
        run_id,
        job_name,
        status,
        started_at,
        completed_at,
        as_of,
        error_message,
        {{ tidemark.seconds_between('started_at', 'completed_at') }} as seconds
    from ledger
    where
        job_name like 'dbt %'
        and status in ('success', 'failed')
        and as_of >= {{ tidemark.report_since() }}
    qualify row_number() over (order by ledger_entry desc) <= 300

),

written as (

    select
        run_id,
        sum(records_processed) as rows_written,
        count(distinct job_name) as models
    from ledger
    where job_type in ('model', 'restatement') and status = 'success' and job_name not like 'dbt %'
    group by run_id

),

final as (

    select
        runs.as_of as run_clock,
        runs.job_name as command,
        runs.status as outcome,
        runs.seconds,
        written.rows_written,
        written.models,
        runs.started_at,
        runs.error_message
    from runs
    left join written on runs.run_id = written.run_id

)

select * from final
order by started_at

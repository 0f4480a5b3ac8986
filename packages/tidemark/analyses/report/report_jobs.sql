-- Up to which clock each job is known and when it last succeeded: the lines under the headings of the report.
with jobs as (

    select * from {{ ref('etl_job_watermarks') }}

),

successes as (

    select
        job_name,
        max(completed_at) as last_success_at
    from {{ source('ops', 'etl_job_runs') }}
    where status = 'success'
    group by job_name

),

final as (

    select
        jobs.job_name,
        jobs.known_until,
        successes.last_success_at,
        jobs.last_run_status
    from jobs
    left join successes on jobs.job_name = successes.job_name

)

select * from final

-- The clock of the last entry of the ledger, and when a build last succeeded: what is older looks old.
with ledger as (

    select * from {{ source('ops', 'etl_job_runs') }}

),

clock as (

    select as_of from ledger
    where as_of is not null
    qualify row_number() over (order by ledger_entry desc) = 1

),

builds as (

    select
        max(case when status = 'success' then completed_at end) as last_success_at,
        max(case when status = 'failed' then completed_at end) as last_failure_at
    from ledger
    where job_name like 'dbt %'

),

final as (

    select
        clock.as_of,
        builds.last_success_at,
        builds.last_failure_at
    from clock
    cross join builds

)

select * from final

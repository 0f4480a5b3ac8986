with ledger as (

    select * from {{ source('ops', 'etl_job_runs') }}

),

final as (

    select
        ledger_entry,
        run_id,
        job_name,
        job_type,
        status,
        records_processed,
        started_at,
        completed_at,
        error_message
    from ledger

)

select * from final

with watermarks as (

    {{ tidemark.last_runs(source('ops', 'etl_job_runs')) }}

),

latest_entries as (

    select * from {{ source('ops', 'etl_job_runs') }}
    where status not in ('running', 'pending')
    qualify row_number() over (partition by job_name order by ledger_entry desc) = 1

),

final as (

    select
        latest_entries.job_name,
        watermarks.last_processed_timestamp,
        latest_entries.completed_at as last_run_at,
        latest_entries.status as last_run_status,
        latest_entries.records_processed,
        latest_entries.metadata_json,
        watermarks.known_until
    from latest_entries
    left join watermarks on latest_entries.job_name = watermarks.job_name

)

select * from final

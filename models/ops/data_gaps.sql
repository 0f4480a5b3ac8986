with coverage as (

    select * from {{ source('ops', 'partition_coverage') }}

),

-- what was found before a table was rebuilt whole says nothing of it
rebuilt as (

    select
        job_name as model_name,
        max(completed_at) as rebuilt_at
    from {{ source('ops', 'etl_job_runs') }}
    where job_type = 'model' and status = 'success' and metadata_json like '{"mode": "full"%'
    group by job_name

),

final as (

    select
        coverage.model_name,
        coverage.domain,
        coverage.strategy,
        coverage.built_on,
        coverage.entity,
        coverage.day,
        coverage.state,
        coverage.expected_rows,
        coverage.stored_rows,
        coverage.differing_rows,
        coverage.differing_columns,
        coverage.found_at,
        coverage.checked_at,
        coverage.as_of
    from coverage
    left join rebuilt on coverage.model_name = rebuilt.model_name
    where
        coverage.state <> 'ok'
        and not coverage.is_current
        and coverage.is_rebuildable
        and (rebuilt.rebuilt_at is null or coverage.checked_at > rebuilt.rebuilt_at)

)

select * from final

with coverage as (

    select * from {{ source('ops', 'partition_coverage') }}

),

ledger as (

    select * from {{ source('ops', 'etl_job_runs') }}

),

at_work as (

    select run_id from ledger
    qualify row_number() over (order by ledger_entry desc) = 1

),

looks as (

    select distinct
        model_name,
        checked_at,
        run_id
    from coverage
    where state <> 'ok'

),

builds as (

    select
        job_name,
        run_id,
        completed_at,
        mode = 'full' as is_rebuild
    from ledger
    where job_type in ('model', 'restatement') and status = 'success'

),

-- what a build has made of what was found: rebuilt whole, a table has nothing of it; otherwise it may have been mended,
-- unless it was built by the command at work, which looks again at what it repairs
followed as (

    select
        looks.model_name,
        looks.checked_at,
        looks.run_id,
        max(case when builds.is_rebuild then 1 else 0 end) = 1 as is_void,
        max(
            case when builds.run_id <> looks.run_id or builds.run_id <> at_work.run_id then 1 else 0 end
        ) = 1 as is_outdated
    from looks
    cross join at_work
    left join builds
        on
            looks.model_name = builds.job_name
            and looks.checked_at <= builds.completed_at
    group by looks.model_name, looks.checked_at, looks.run_id

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
        coverage.as_of,
        coverage.compared_from,
        followed.is_outdated
    from coverage
    inner join followed
        on
            coverage.model_name = followed.model_name
            and coverage.checked_at = followed.checked_at
            and coverage.run_id = followed.run_id
    where
        coverage.state <> 'ok'
        and not coverage.is_current
        and coverage.is_rebuildable
        and not followed.is_void

)

select * from final

-- Each table and day as coverage last compared it: sound, damaged, or repaired since the window began.
with coverage as (

    select
        model_name,
        day,
        count(*) as partitions,
        count(case when state <> 'ok' and is_rebuildable then 1 end) as damaged
    from {{ source('ops', 'partition_coverage') }}
    where
        day >= {{ tidemark.report_start() }}
        and not is_current
    group by model_name, day

),

repairs as (

    select
        model_name,
        day,
        count(*) as repaired
    from {{ source('ops', 'backfill_attempts') }}
    where
        outcome = 'success'
        and day >= {{ tidemark.report_start() }}
    group by model_name, day

),

final as (

    select
        coverage.model_name,
        coverage.day as shown_day,
        case
            when coverage.damaged > 0 then 'damaged'
            when repairs.repaired > 0 then 'repaired'
            else 'sound'
        end as state,
        coverage.partitions,
        coverage.damaged,
        coalesce(repairs.repaired, 0) as repaired
    from coverage
    left join repairs on coverage.model_name = repairs.model_name and coverage.day = repairs.day

)

select * from final
order by model_name, shown_day

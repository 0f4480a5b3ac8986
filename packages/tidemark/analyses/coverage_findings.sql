-- What is not as its raw rows say, and what the plan makes of it: what is never planned is here, too. `tidemark gaps`
-- and `tidemark backfill` show it.
with coverage as (

    select * from {{ source('ops', 'partition_coverage') }}

),

plan as (

    select * from {{ ref('backfill_plan') }}

),

final as (

    select
        coverage.model_name,
        coverage.domain,
        coverage.strategy,
        coverage.entity,
        coverage.day,
        coverage.state,
        coverage.differing_rows,
        coverage.differing_columns,
        case
            when coverage.is_current then 'today'
            when not coverage.is_rebuildable then 'beyond retention'
            else plan.decision
        end as decision,
        case
            when coverage.is_current then 'the day is not over'
            when not coverage.is_rebuildable then 'its raw rows are gone'
            else plan.reason
        end as reason,
        plan.plan_day,
        plan.plan_order
    from coverage
    left join plan
        on
            coverage.model_name = plan.model_name
            and coverage.entity = plan.entity
            and coverage.day is not distinct from plan.day
    where coverage.state <> 'ok'

)

select * from final
order by model_name, entity, day

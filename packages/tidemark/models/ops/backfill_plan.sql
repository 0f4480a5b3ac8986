{%- set limits = tidemark.setting('backfill') -%}

with candidates as (

    select
        *,
        standing = 'candidate' as is_candidate,
        {{ tidemark.is_priority_entity('entity') }} as is_priority
    from {{ ref('backfill_candidates') }}

),

prioritised as (

    select
        *,
        count(case when standing in ('candidate', 'waiting') then 1 end) over () as damaged_partitions,
        max(case when is_candidate and is_priority then 1 else 0 end) over (
            partition by domain, plan_day
        ) as day_priority
    from candidates

),

ranked as (

    select
        *,
        dense_rank() over (partition by domain, is_candidate order by day_priority desc, plan_day desc) as day_rank
    from prioritised

),

decided as (

    select
        *,
        case
            when not is_candidate then standing
            when day_rank > {{ tidemark.days_to_plan() }} then 'later'
            when is_outdated_unit or may_begin_earlier then 'doubtful'
            when damaged_partitions < {{ limits.min_partitions }} then 'below minimum'
            else 'planned'
        end as decision
    from ranked

),

final as (

    select
        model_name,
        domain,
        strategy,
        entity,
        day,
        state,
        differing_rows,
        differing_columns,
        found_at,
        is_priority,
        plan_day,
        request_day,
        case when is_candidate then cast(day_rank as integer) end as plan_order,
        decision,
        decision = 'planned' as is_planned,
        case
            when decision = 'running' then 'it is being repaired'
            when decision = 'disabled' then 'the entity is disabled'
            when decision = 'no source' then 'the source has no rows of it'
            when decision = 'stuck' then 'its repair failed ' || unit_failures || ' times'
            when decision = 'waiting' then waits_for || ' comes first'
            when decision = 'later' then 'newer days come first'
            when decision = 'doubtful' and is_outdated_unit then 'its table was written since it was compared'
            when decision = 'doubtful' then 'its first days were not compared'
            when decision = 'below minimum' then 'fewer than {{ limits.min_partitions }} partitions are damaged'
            else state
        end as reason,
        cast(unit_failures as integer) as failed_attempts,
        retry_at,
        known_until
    from decided

)

select * from final

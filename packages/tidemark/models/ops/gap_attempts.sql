with attempts as (

    select
        *,
        max(case when outcome = 'repaired' then started_at end) over (
            partition by model_name, entity, day
        ) as repaired_at
    from {{ source('ops', 'backfill_attempts') }}

),

final as (

    select
        model_name,
        entity,
        day,
        count(case when outcome = 'started' then 1 end) > count(case when outcome <> 'started' then 1 end) as is_open,
        count(case when outcome = 'failed' then 1 end) as failed_attempts,
        max(case when outcome = 'failed' then as_of end) as failed_as_of
    from attempts
    where started_at > repaired_at or repaired_at is null
    group by model_name, entity, day

)

select * from final

-- What is damaged now, by table and entity, and what the plan makes of it.
with plan as (

    select * from {{ ref('backfill_plan') }}

),

final as (

    select
        model_name,
        entity,
        state,
        min(day) as first_day,
        max(day) as last_day,
        count(*) as damaged_days,
        sum(differing_rows) as differing_rows,
        decision,
        min(reason) as reason
    from plan
    group by model_name, entity, state, decision
    qualify {{ tidemark.within_report('max(day) desc, model_name, entity, state, decision') }}

)

select * from final
order by last_day desc, model_name asc, entity asc

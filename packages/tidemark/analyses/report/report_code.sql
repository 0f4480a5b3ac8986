-- Tables whose code is not what they were made with: old rows follow the old rule until they are rebuilt.
with figures as (

    select * from {{ ref('pipeline_health') }}

),

final as (

    select
        subject as model_name,
        reference_time as built_at,
        detail
    from figures
    where metric = 'code_drift' and amount > 0

)

select * from final
order by model_name

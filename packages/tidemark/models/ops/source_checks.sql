with gate_log as (

    select * from {{ source('ops', 'gate_log') }}

),

final as (

    select
        run_id,
        measured_at as checked_at,
        as_of,
        subject,
        case when metric = 'decision' then 'model' else 'source' end as subject_type,
        detail as state,
        reason,
        reference_time as max_loaded_at,
        amount as age_seconds
    from gate_log
    -- a look that decided nothing, such as that of `tidemark status`, gives no reasons
    where metric in ('source_age', 'decision') and reason is not null

)

select * from final

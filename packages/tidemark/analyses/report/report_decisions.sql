-- What the gate decided in each hour of the last seven days: how many models it had built, skipped or blocked.
with decisions as (

    select
        cast({{ dbt.date_trunc('hour', 'as_of') }} as {{ tidemark.timestamp_type() }}) as decided_in,
        case detail
            when 'new' then 'built'
            when 'unchanged' then 'skipped'
            else 'blocked'
        end as decision
    from {{ source('ops', 'gate_log') }}
    where
        metric = 'decision'
        -- a look that decided nothing gives no reasons
        and reason is not null
        and as_of > {{ dbt.dateadd('hour', -168, tidemark.as_of()) }}

),

final as (

    select
        decided_in,
        decision,
        count(*) as models
    from decisions
    group by decided_in, decision

)

select * from final
order by decided_in, decision

-- What the gate did with each model, how much its skips saved, and its last decisions hour by hour: b was built,
-- s skipped, x blocked. The saving is the mean time of a build, full rebuilds left out, for each skip.
with decisions as (

    select
        subject as model_name,
        detail,
        as_of,
        reason,
        ledger_entry
    from {{ source('ops', 'gate_log') }}
    where
        metric = 'decision'
        and reason is not null
        and as_of >= {{ tidemark.report_since() }}

),

counts as (

    select
        model_name,
        count(case when detail = 'new' then 1 end) as built,
        count(case when detail = 'unchanged' then 1 end) as skipped,
        count(case when detail = 'blocked' then 1 end) as blocked
    from decisions
    group by model_name

),

last_decisions as (

    select
        model_name,
        reason
    from decisions
    qualify row_number() over (partition by model_name order by ledger_entry desc) = 1

),

-- the worst of each hour
hours as (

    select
        model_name,
        {{ dbt.date_trunc('hour', 'as_of') }} as decided_in,
        case
            when max(case when detail = 'blocked' then 1 else 0 end) = 1 then 'x'
            when max(case when detail = 'new' then 1 else 0 end) = 1 then 'b'
            else 's'
        end as decision
    from decisions
    group by model_name, {{ dbt.date_trunc('hour', 'as_of') }}
    qualify dense_rank() over (order by {{ dbt.date_trunc('hour', 'as_of') }} desc) <= 48

),

strips as (

    select
        model_name,
        {{ tidemark.drawn('decision', 'decided_in') }} as last_hours
    from hours
    group by model_name

),

savings as (

    {{ tidemark.skips(tidemark.report_since()) }}

),

final as (

    select
        counts.model_name,
        counts.built,
        counts.skipped,
        counts.blocked,
        coalesce(savings.skips * savings.seconds, 0) as seconds_saved,
        strips.last_hours,
        last_decisions.reason as last_reason
    from counts
    left join last_decisions on counts.model_name = last_decisions.model_name
    left join strips on counts.model_name = strips.model_name
    left join savings on counts.model_name = savings.job_name
    qualify {{ tidemark.within_report('counts.blocked desc, counts.model_name') }}

)

select * from final
order by blocked desc, model_name asc

-- How old each source was on each day when the gate looked, against its limits: the worst look of the day.
with looks as (

    select
        subject as source_name,
        cast(as_of as date) as look_day,
        amount as age_seconds,
        detail as state,
        warning_at,
        critical_at,
        ledger_entry
    from {{ source('ops', 'gate_log') }}
    where
        metric = 'source_age'
        and as_of >= {{ tidemark.report_since() }}

),

final as (

    select
        look_day,
        source_name,
        state,
        {{ tidemark.ratio('age_seconds', '3600', decimals=2) }} as age_hours,
        {{ tidemark.ratio('warning_at', '3600', decimals=2) }} as warns_after_hours,
        {{ tidemark.ratio('critical_at', '3600', decimals=2) }} as blocks_after_hours,
        count(*) over (partition by source_name, look_day) as looks
    from looks
    qualify row_number() over (
        partition by source_name, look_day
        order by
            case state
                when 'fresh' then 0
                when 'warn' then 1
                else 2
            end desc,
            age_seconds desc,
            ledger_entry desc
    ) = 1

)

select * from final
order by source_name, look_day

-- Rows that broke a rule since the window began, by source and reason: they count nowhere, and are lost nowhere.
with bad_rows as (

    select * from {{ ref('quarantined_rows') }}
    where
        loaded_at >= {{ tidemark.report_since() }}
        and loaded_at <= {{ tidemark.as_of() }}

),

final as (

    select
        source_name,
        quarantine_reason,
        count(*) as bad_row_count,
        max(loaded_at) as last_loaded_at
    from bad_rows
    group by source_name, quarantine_reason
    qualify {{ tidemark.within_report('count(*) desc, source_name, quarantine_reason') }}

)

select * from final
order by bad_row_count desc, source_name asc, quarantine_reason asc

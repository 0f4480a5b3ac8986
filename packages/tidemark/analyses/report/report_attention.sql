-- Every figure of ops.pipeline_health that is beyond a limit, the worst first.
with figures as (

    select * from {{ ref('pipeline_health') }}

),

final as (

    select
        level,
        metric as figure,
        subject,
        amount,
        unit,
        warning_at,
        critical_at,
        detail
    from figures
    where level <> 'normal'
    qualify {{ tidemark.within_report('level, metric, subject') }}

)

select * from final
order by level, figure, subject

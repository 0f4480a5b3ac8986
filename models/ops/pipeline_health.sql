with figures as (

    select * from {{ ref('pipeline_figures') }}

),

limits as (

    {{ health_limits() }}

),

judged as (

    select
        figures.metric,
        figures.subject,
        cast(figures.amount as decimal(18, 3)) as amount,
        case
            when figures.metric in ('run_time', 'job_time', 'source_age', 'watermark_lag') then 'seconds'
            else 'count'
        end as unit,
        cast(figures.detail as varchar) as detail,
        cast(coalesce(figures.warning_at, limits.warning_at) as bigint) as warning_at,
        cast(coalesce(figures.critical_at, limits.critical_at) as bigint) as critical_at,
        figures.reference_time,
        figures.as_of
    from figures
    left join limits on figures.metric = limits.metric

),

final as (

    select
        metric,
        subject,
        amount,
        unit,
        case
            when detail = 'fresh' then 'normal'
            when detail in ('empty', 'future', 'error') and metric = 'source_age' and critical_at is null then 'warning'
            when amount is null and critical_at is not null then 'critical'
            when amount > critical_at or (amount = critical_at and unit = 'count') then 'critical'
            when amount >= warning_at then 'warning'
            else 'normal'
        end as level,
        warning_at,
        critical_at,
        detail,
        reference_time,
        as_of
    from judged

)

select * from final

-- The fifteen pages with most views in the window.
with stats as (

    select * from {{ ref('web_pre_aggregated_stats') }}
    where period_bucket >= {{ tidemark.report_since() }}

),

final as (

    select
        coalesce(pathname, 'no page named') as page,
        sum(pageviews) as pageviews
    from stats
    group by pathname
    qualify row_number() over (order by sum(pageviews) desc, pathname asc) <= 15

)

select * from final
order by pageviews desc, page asc

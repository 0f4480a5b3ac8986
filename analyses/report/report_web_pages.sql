-- The fifteen pages with most views in the window.
with stats as (

    select * from {{ ref('web_pre_aggregated_stats') }}
    where period_bucket >= {{ tidemark.report_since() }}

),

pages as (

    select
        coalesce(pathname, 'no page named') as page,
        sum(pageviews) as all_views
    from stats
    group by coalesce(pathname, 'no page named')

),

final as (

    select
        page,
        all_views as pageviews
    from pages
    qualify row_number() over (order by all_views desc, page asc) <= 15

)

select * from final
order by pageviews desc, page asc

-- What people used most in the window, the fifteen features with most interactions.
with daily as (

    select * from {{ ref('feature_engagement_daily') }}
    where activity_date >= {{ tidemark.report_start() }}

),

final as (

    select
        coalesce(feature_used, 'no feature named') as feature,
        sum(total_interactions) as interactions,
        sum(total_duration) as minutes,
        count(distinct server_id) as servers
    from daily
    group by feature_used
    qualify row_number() over (order by sum(total_interactions) desc, feature_used asc) <= 15

)

select * from final
order by interactions desc, feature asc

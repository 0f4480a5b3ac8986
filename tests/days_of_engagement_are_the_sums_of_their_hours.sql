{{ config(group='engagement', enabled='engagement' in var('domains')) }}

with hours as (

    select * from {{ ref('fct_engagement_metrics') }}
    where {{ tidemark.written_days('metric_hour', ['fct_engagement_metrics', 'server_engagement_daily']) }}

),

days as (

    select * from {{ ref('engagement_daily') }}
    where {{ tidemark.written_days('activity_date', ['fct_engagement_metrics', 'server_engagement_daily']) }}

),

sums as (

    select
        server_id,
        cast(metric_hour as date) as activity_date,
        sum(total_interactions) as total_interactions,
        sum(total_duration) as total_duration,
        max(active_users) as most_users
    from hours
    group by server_id, cast(metric_hour as date)

),

final as (

    select
        coalesce(sums.server_id, days.server_id) as server_id,
        coalesce(sums.activity_date, days.activity_date) as activity_date,
        sums.total_interactions as interactions_of_hours,
        days.total_interactions
    from sums
    full outer join days
        on
            sums.server_id = days.server_id
            and sums.activity_date = days.activity_date
    where
        -- a day without hours has zeros
        (
            coalesce(sums.total_interactions, 0) is distinct from days.total_interactions
            or coalesce(sums.total_duration, 0) is distinct from days.total_duration
            -- the people of a day are not the sum of its hours', and not fewer than any of them
            or coalesce(sums.most_users, 0) > days.active_users
        )
        and {{ tidemark.known_alike(['fct_engagement_metrics', 'server_engagement_daily']) }}

)

select * from final

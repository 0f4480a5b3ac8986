-- Where all companies stand on the last day that was reported, in five figures.
with activity as (

    select * from {{ ref('company_daily_activity') }}

),

last_day as (

    select
        company_id,
        activity_date,
        is_churn_risk,
        case when {{ is_active_day('active_users', 'events') }} then 1 else 0 end as active_then
    from activity
    qualify activity_date = max(activity_date) over ()

),

first_activity as (

    select
        company_id,
        min(activity_date) as first_active_day
    from activity
    where {{ is_active_day('active_users', 'events') }}
    group by company_id

),

counts as (

    select
        max(last_day.activity_date) as activity_date,
        count(*) as companies,
        sum(last_day.active_then) as active,
        count(case when last_day.is_churn_risk then 1 end) as at_risk,
        count(case when last_day.is_churn_risk is null then 1 end) as unknown_companies,
        count(
            case
                when first_activity.first_active_day > {{ tidemark.days_after('last_day.activity_date', -30) }} then 1
            end
        ) as newcomers
    from last_day
    left join first_activity on last_day.company_id = first_activity.company_id

),

figures as (

    select
        1 as place,
        'Active companies' as figure,
        active as amount,
        'of ' || cast(companies as varchar) || ', on ' || {{ tidemark.column_text('activity_date', 'date') }} as note,
        'first' as tone
    from counts
    union all
    select
        2 as place,
        'New in 30 days' as figure,
        newcomers as amount,
        'active for the first time' as note,
        'first' as tone
    from counts
    union all
    select
        3 as place,
        'At risk' as figure,
        at_risk as amount,
        'silent for the whole window, all of it reported' as note,
        case when at_risk > 0 then 'bad' else 'good' end as tone
    from counts
    union all
    select
        4 as place,
        'Unknown' as figure,
        unknown_companies as amount,
        'an outage hides whether they are silent' as note,
        case when unknown_companies > 0 then 'unknown' else 'good' end as tone
    from counts

),

final as (

    select * from figures
    where amount is not null

)

select * from final
order by place

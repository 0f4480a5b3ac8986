-- Every company on the last reported day: at risk, unknown because of an outage, or fine, and why, in words. A
-- character of last_30_days is a day: its events beside the company's greatest day, `-` where the day was not reported.
with activity as (

    select * from {{ ref('company_daily_activity') }}
    qualify activity_date > {{ tidemark.days_after('max(activity_date) over ()', -30) }}

),

latest as (

    select
        *,
        churn_window_days - churn_window_days_reported as days_unknown
    from activity
    qualify activity_date = max(activity_date) over ()

),

measured as (

    select
        company_id,
        activity_date,
        -- active users without events are activity, too
        case when events = 0 and active_users > 0 then 1 else events end as amount
    from activity

),

scaled as (

    select
        company_id,
        activity_date,
        amount,
        max(coalesce(amount, 0)) over (partition by company_id) as most
    from measured

),

drawn as (

    select
        company_id,
        {{ tidemark.drawn(tidemark.drawn_amount('amount', 'most'), 'activity_date') }} as last_30_days
    from scaled
    group by company_id

),

judged as (

    select
        *,
        cast(churn_window_days as varchar) as window_text,
        case
            when is_churn_risk then 'at risk'
            when is_churn_risk is null then 'unknown'
            else 'fine'
        end as churn_state
    from latest

),

final as (

    select
        coalesce(judged.company_name, judged.company_id) as company,
        judged.churn_state,
        case
            when judged.churn_state = 'at risk' and judged.days_since_last_active is null
                then 'never active; the last ' || judged.window_text || ' days were all reported'
            when judged.churn_state = 'at risk'
                then
                    'silent for ' || cast(judged.days_since_last_active as varchar)
                    || ' days; the last ' || judged.window_text || ' were all reported'
            when judged.churn_state = 'unknown'
                then
                    'silent on the days that were reported, but ' || cast(judged.days_unknown as varchar)
                    || ' of ' || judged.window_text
                    || case when judged.days_unknown = 1 then ' was not' else ' were not' end
            when judged.days_since_last_active = 0 then 'active on the last reported day'
            when judged.days_since_last_active = 1 then 'active the day before'
            when judged.days_since_last_active is not null
                then 'last active ' || cast(judged.days_since_last_active as varchar) || ' days before'
            else 'known for less than ' || judged.window_text || ' days, and not active yet'
        end as why,
        drawn.last_30_days,
        judged.events_7d,
        judged.active_users_7d,
        judged.days_since_last_active as silent_days,
        judged.country,
        judged.industry_tag as industry,
        cast(judged.last_contact_at as date) as last_contact,
        judged.company_id
    from judged
    inner join drawn on judged.company_id = drawn.company_id
    qualify {{ tidemark.within_report(
        "case judged.churn_state when 'at risk' then 1 when 'unknown' then 2 else 3 end, "
        ~ "judged.days_since_last_active, judged.company_id"
    ) }}

)

select * from final
order by
    case churn_state
        when 'at risk' then 1
        when 'unknown' then 2
        else 3
    end,
    silent_days,
    company_id

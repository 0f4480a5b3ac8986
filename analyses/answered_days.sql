-- How often the usage API answered for each of the last days, and what the mart makes of it. An answer that was loaded
-- twice, or asked for twice, adds nothing: the latest version of each company's day counts.
{{ config(enabled='company' in var('domains')) }}

with answers as (

    select
        usage_date,
        count(*) as answers
    from {{ ref('stg_usage_answers') }}
    where usage_date >= {{ tidemark.date_literal('2025-10-14') }}
    group by usage_date

),

company_days as (

    select
        daily.activity_date,
        count(case when daily.events > 0 then 1 end) as active_companies,
        sum(daily.events) as events
    from {{ ref('company_daily_activity') }} as daily
    group by daily.activity_date

),

final as (

    select
        answers.usage_date,
        answers.answers,
        company_days.active_companies,
        company_days.events
    from answers
    left join company_days on answers.usage_date = company_days.activity_date

)

select * from final
order by usage_date

-- Each piece of content: who attempted it in the window, and what they know of it now.
with deltas as (

    select * from {{ ref('mastery_deltas') }}
    where activity_date >= {{ tidemark.report_start() }}

),

final as (

    select
        content_id,
        count(distinct learner_id) as learners,
        count(*) as attempts_that_counted,
        {{ tidemark.ratio('sum(current_mastery) * 100', 'count(*)', decimals=1, scale=6) }} as mean_mastery,
        count(case when mastery_delta > 0 and previous_mastery is not null then 1 end) as improvements,
        count(case when mastery_delta < 0 then 1 end) as declines,
        max(activity_date) as last_attempt
    from deltas
    group by content_id
    qualify {{ tidemark.within_report('count(*) desc, content_id') }}

)

select * from final
order by attempts_that_counted desc, content_id asc

-- What the gate spared in the window: builds of models, and the engine time that they would have taken.
with savings as (

    {{ tidemark.skips(tidemark.report_since()) }}

),

totals as (

    select
        coalesce(sum(builds), 0) as all_builds,
        coalesce(sum(skips), 0) as all_skips,
        coalesce(sum(skips * seconds), 0) as seconds_saved
    from savings

),

final as (

    select
        1 as place,
        'Builds that were skipped' as figure,
        all_skips as amount,
        'of ' || cast(all_builds + all_skips as varchar) || ' decisions on models' as note,
        'good' as tone
    from totals
    union all
    select
        2 as place,
        'Engine seconds that they would have taken' as figure,
        seconds_saved as amount,
        'mean time of a build, for each skip' as note,
        'good' as tone
    from totals

)

select * from final
order by place

-- What a lookback of so many days would have missed: the share of rows that were loaded later than that.
{%- set lookbacks = [0, 1, 3, 7, 14, 30] %}
{%- set late = 'case when days_late.days_late > lookbacks.lookback_days then days_late.loaded_rows else 0 end' %}

with days_late as (

    {% for view, version in tidemark.versions_in_use().items() -%}
    {#- events have their day in their identity -#}
    {% if tidemark.staged('activity_date') in version.identity -%}
    select
        '{{ version.source or view | replace("stg_", "") }}' as source_name,
        {{ dbt.datediff(tidemark.staged('activity_date'), tidemark.staged('loaded_at'), 'day') }} as days_late,
        count(*) as loaded_rows
    from {{ ref(project_name, view) }}
    where
        {{ tidemark.staged('quarantine_reason') }} is null
        and {{ tidemark.staged('loaded_at') }} >= {{ tidemark.report_since() }}
        and {{ tidemark.staged('loaded_at') }} <= {{ tidemark.as_of() }}
    group by {{ dbt.datediff(tidemark.staged('activity_date'), tidemark.staged('loaded_at'), 'day') }}

    union all

    {% endif -%}
    {% endfor -%}
    -- no staging view with events, no rows
    select
        cast(null as varchar) as source_name,
        cast(null as bigint) as days_late,
        cast(null as bigint) as loaded_rows
    where false

),

lookbacks as (

    {% for days in lookbacks -%}
    select {{ days }} as lookback_days
    {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

final as (

    select
        lookbacks.lookback_days,
        days_late.source_name,
        cast(sum({{ late }}) as bigint) as missed_rows,
        cast(sum(days_late.loaded_rows) as bigint) as all_rows,
        {{ tidemark.ratio('sum(' ~ late ~ ') * 100', 'sum(days_late.loaded_rows)', decimals=3) }} as missed_percent
    from days_late
    cross join lookbacks
    group by lookbacks.lookback_days, days_late.source_name

)

select * from final
order by source_name, lookback_days

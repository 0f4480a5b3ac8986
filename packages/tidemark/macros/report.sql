{#- What the analyses of `tidemark report` have in common: the window, its days, and when a model knows a day. -#}

{#- The first day that is shown, as a literal; the clock's day is the last one. -#}
{%- macro report_start() -%}
    {%- set days = modules.datetime.timedelta(days=tidemark.setting('report_days') - 1) -%}
    {{ return(tidemark.date_literal(tidemark.shifted(tidemark.as_of_value(), -days))) }}
{%- endmacro %}

{#- The same as the first moment that is shown. -#}
{%- macro report_since() -%}
    {%- set days = modules.datetime.timedelta(days=tidemark.setting('report_days') - 1) -%}
    {%- set first = tidemark.shifted(tidemark.as_of_value(), -days) -%}
    {{ return(tidemark.timestamp_literal(modules.datetime.datetime(first.year, first.month, first.day))) }}
{%- endmacro %}

{#- A query: every day that is shown, and whether some models know it, all of them. `complete`; `so far`, the day of the
    clock up to which they are known; `not known yet`, later ones. A picture draws no zero where nobody knows. -#}
{%- macro shown_days(models) -%}
    {%- set names = models | map(attribute='identifier') | map('tojson') | join(', ') | replace('"', "'") -%}
    select
        {{ tidemark.day_of('calendar', 'bounds.first_day') }} as shown_day,
        case
            when {{ tidemark.day_of('calendar', 'bounds.first_day') }} < cast(bounds.known_until as date)
                then 'complete'
            when
                {{ tidemark.day_of('calendar', 'bounds.first_day') }} = cast(bounds.known_until as date)
                and bounds.known_until > cast(cast(bounds.known_until as date) as {{ tidemark.timestamp_type() }})
                then 'so far'
            else 'not known yet'
        end as day_state
    from (
        select
            {{ tidemark.report_start() }} as first_day,
            cast({{ tidemark.as_of() }} as date) as last_day,
            case when count(known_until) = {{ models | length }} then min(known_until) end as known_until
        from {{ ref('tidemark', 'etl_job_watermarks') }}
        where job_name in ({{ names }})
    ) as bounds
    cross join {{ tidemark.each_day('bounds.first_day', 'bounds.last_day') }} as calendar
{%- endmacro %}

{#- The Monday of a day: with which day `date_trunc` begins a week is a setting on Snowflake. -#}
{%- macro week_of(day) -%}
    {%- set days = dbt.datediff(tidemark.date_literal('1970-01-05'), day, 'day') -%}
    {{ return(tidemark.days_after(day, '-(' ~ days ~ ' % 7)')) }}
{%- endmacro %}

{#- Predicate for `qualify`: no more rows than a page can hold. What comes first is shown. -#}
{%- macro within_report(order_by) -%}
    {{ return('row_number() over (order by ' ~ order_by ~ ') <= ' ~ tidemark.setting('report_rows')) }}
{%- endmacro %}

{#- Aggregate: one character for each row in an order, as sparklines and strips are drawn of. A digit is a share of the
    greatest value, zero none; a letter is a state; `-` is not known. -#}
{%- macro drawn(character, order_by) -%}
    {{ return(dbt.listagg(character, "''", 'order by ' ~ order_by)) }}
{%- endmacro %}

{#- The digit of an amount beside the greatest one of its row. -#}
{%- macro drawn_amount(amount, greatest) -%}
    case
        when {{ amount }} is null then '-'
        when {{ amount }} <= 0 or {{ greatest }} <= 0 then '0'
        else cast(1 + cast({{ tidemark.whole_quotient('(8 * ' ~ amount ~ ')', greatest) }} as integer) as varchar)
    end
{%- endmacro %}

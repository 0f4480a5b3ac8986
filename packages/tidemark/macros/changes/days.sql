{#- Days as literal ranges. -#}

{#- The days of some rows, as ranges to be written as literals; where nothing may be asked of the warehouse on the
    side, no bound. -#}
{%- macro ranges_of(day, rows) -%}
    {%- if not tidemark.keeps_touched() -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set found = run_query('select distinct ' ~ tidemark.within_calendar(day) ~ ' from ' ~ rows) -%}
    {{ return(tidemark.merged_ranges(found.columns[0].values() | sort)) }}
{%- endmacro %}

{#- Days, and spans of them (first, last), as at most ten [first, end) ranges, cut at the widest gaps. As literals they
    let the engine skip what it stores of other days; past ten OR-ed ranges cost more than they save (measured: 40
    scattered days took 8 times as long). What a span costs does not depend on how many days it has. #}
{%- macro merged_ranges(spans, lookback_days=0, most=10) -%}
    {%- set islands, gaps, ranges = [], [], [] -%}
    {%- for span in spans -%}
        {%- do islands.append((span[0], span[1]) if span is sequence else (span, span)) -%}
    {%- endfor -%}
    {%- set sorted_spans, reach = islands | sort, namespace(last=none) -%}
    {%- for first, last in sorted_spans -%}
        {%- if reach.last and (first - reach.last).days > 1 + lookback_days -%}
            {%- do gaps.append(((first - reach.last).days, first)) -%}
        {%- endif -%}
        {%- set reach.last = [reach.last or last, last] | max -%}
    {%- endfor -%}
    {%- set starts = (gaps | sort(reverse=true))[:most - 1] | map(attribute=1) | list -%}
    {%- set reach.last = none -%}
    {%- for first, last in sorted_spans -%}
        {%- set goes_on = reach.last and (first not in starts or first <= reach.last) -%}
        {%- set begin = ranges.pop()[0] if goes_on else tidemark.first_of(first, lookback_days) -%}
        {%- set reach.last = [reach.last or last, last] | max if goes_on else last -%}
        {%- do ranges.append((begin, tidemark.end_of(reach.last))) -%}
    {%- endfor -%}
    {{ return(ranges) }}
{%- endmacro %}

{#- The bounds of a range, none where the calendar of Jinja ends: what lies beyond it is stored there, too. -#}
{%- macro first_of(day, lookback_days=0) -%}
    {%- set first = tidemark.day_plus(day, -lookback_days) -%}
    {{ return(none if first.year == 1 else first) }}
{%- endmacro %}

{%- macro end_of(day) -%}
    {{ return(none if day.year == 9999 else tidemark.day_plus(day, 1)) }}
{%- endmacro %}

{#- The column lies in any of the ranges of days; no ranges known means no bound, and so does a bound that is none. -#}
{%- macro within(column, ranges) -%}
    {%- if ranges is none -%}
        {{ return('true') }}
    {%- endif -%}
    {%- set terms = [] -%}
    {%- for first, end in ranges -%}
        {%- set lower = tidemark.not_earlier_than(column, first) if first else '' -%}
        {%- set upper = tidemark.earlier_than(column, end) if end else '' -%}
        {%- do terms.append('(' ~ ([lower, upper] | select | join(' and ') or 'true') ~ ')') -%}
    {%- endfor -%}
    {{ return('(' ~ (terms | join(' or ') or 'false') ~ ')') }}
{%- endmacro %}

{%- macro numbers_to(last) -%}
    (
        select 0 as days_later
        {%- for number in range(1, last + 1) %}
        union all
        select {{ number }} as days_later
        {%- endfor %}
    ) as offsets
{%- endmacro %}

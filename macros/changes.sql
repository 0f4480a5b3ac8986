{#- Change detection: what a run recomputes. A model says which raw rows it reads through one of these predicates:

      touched_partitions(relation, entity, day)   every visible row of the partitions that newly loaded rows touch
      replayed_rows(entity)                       every visible row of the entities that are replayed, from their first touched day
      call replay_from(entity, day)               the query that says from which day each entity is replayed
      latest_version(relation)                    of each identity, the version that counts

    On a full refresh everything is touched: the same SQL, from the beginning of time. -#}

{%- macro newly_loaded() -%}
    {%- set state = run_state() -%}
    {%- if state.mode == 'restate' -%}
        {{ return('false') }}
    {%- endif -%}
    {{ return(valid_and_visible() ~ (' and loaded_at >= ' ~ timestamp_literal(state.since) if state.since else '')) }}
{%- endmacro %}

{%- macro valid_and_visible() -%}
    {{ return('quarantine_reason is null and ' ~ visible()) }}
{%- endmacro %}

{%- macro latest_version(relation) -%}
    {{ version_rank(relation) }} = 1
{%- endmacro %}

{%- macro version_rank(relation) -%}
    {#- in a unit test the relation is a fixture, named after the model it stands for -#}
    {%- set name = relation.identifier | replace('__dbt__cte__', '') -%}
    {%- if not execute -%}
        {{ return('1') }}
    {%- elif name not in var('versions') -%}
        {{ exceptions.raise_compiler_error('Say in dbt_project.yml, under vars: versions:, what identifies a row of ' ~ name) }}
    {%- endif -%}
    {%- set version = var('versions')[name] -%}
    row_number() over (
        partition by {{ version.identity | join(', ') }}
        order by loaded_at desc{% for tie in version.ties %}, {{ tie }} desc nulls last{% endfor %}
    )
{%- endmacro %}

{%- macro touched_partitions(relation, entity, day, lookback_days=0) -%}
    {%- set state = run_state() -%}
    {%- if state.mode == 'full' -%}
        {{ return(valid_and_visible()) }}
    {%- endif -%}
    {%- set changed = valid_and_visible() ~ ' and ' ~ within('occurred_at', [state.window]) if state.window else newly_loaded() -%}
    {%- set sql -%}
        select distinct {{ entity }}, touched_day
        from (
            select {{ entity }}, {{ days_after('changed_day', 'days_later') }} as touched_day
            from (
                select distinct {{ entity }}, cast({{ day }} as date) as changed_day from {{ relation }} where {{ changed }}
                {%- for request in state.requests %}
                union all select {{ requested_entity(request, entity) }}, cast('{{ request.day }}' as date)
                {%- endfor %}
            ) as changed
            cross join {{ numbers_to(lookback_days) }}
            {%- if state.window %}
            union all select {{ entity }}, cast({{ day }} as date) from {{ this }} where {{ within(day, [state.window]) }}
            {%- endif %}
        ) as touched
    {%- endset -%}
    {%- do keep_touched(sql, entity, day) -%}
    {%- set read_days = 'select ' ~ entity ~ ', ' ~ days_after('touched_day', '-days_later') ~ ' from ' ~ state.touched
        ~ ' cross join ' ~ numbers_to(lookback_days) -%}
    {%- if state.touched_days is defined -%}
        {%- do state.update({'ranges': merged_ranges(state.touched_days, lookback_days)}) -%}
    {%- endif -%}
    {{ valid_and_visible() }}
    and {{ within('occurred_at', state.ranges) }}
    and ({{ entity }}, cast({{ day }} as date)) in ({{ read_days if lookback_days else 'select ' ~ entity ~ ', touched_day from ' ~ state.touched }})
{%- endmacro %}

{%- macro is_touched(entity, day) -%}
    {%- set state = run_state() -%}
    {%- if state.mode == 'full' -%}
        {{ return('true') }}
    {%- endif -%}
    {{ return('(' ~ entity ~ ', ' ~ day ~ ') in (select ' ~ entity ~ ', touched_day from ' ~ state.touched ~ ')') }}
{%- endmacro %}

{%- macro replay_from(entity, day) -%}
    {%- set state = run_state() -%}
    {%- set sql -%}
        select {{ entity }}, min(replay_from) as replay_from
        from (
            {{ caller() }}
            {%- for request in state.requests %}
            union all select {{ requested_entity(request, entity) }}, cast('{{ request.day }}' as date)
            {%- endfor %}
            {%- if state.window %}
            union all select distinct {{ entity }}, cast('{{ state.window[0] }}' as date) from {{ this }}
            {%- endif %}
        ) as touched_days
        group by {{ entity }}
    {%- endset -%}
    {%- if state.mode != 'full' -%}
        {%- do keep_touched(sql, entity, day) -%}
    {%- endif -%}
    {{ 'select * from ' ~ state.touched if state.touched is defined else sql }}
{%- endmacro %}

{%- macro moved_lifespans(lifespans, entity, day) -%}
    select
        coalesce(lifespans.{{ entity }}, stored.{{ entity }}) as {{ entity }},
        case
            when lifespans.first_day = stored.first_day then {{ days_after('least(lifespans.last_day, stored.last_day)', 1) }}
            else least(coalesce(lifespans.first_day, stored.first_day), coalesce(stored.first_day, lifespans.first_day))
        end as replay_from
    from {{ lifespans }} as lifespans
    full outer join (
        select {{ entity }}, min({{ day }}) as first_day, max({{ day }}) as last_day from {{ this }} group by {{ entity }}
    ) as stored on lifespans.{{ entity }} = stored.{{ entity }}
    where lifespans.first_day is distinct from stored.first_day or lifespans.last_day is distinct from stored.last_day
{%- endmacro %}

{%- macro replayed_rows(entity, lookback_days=0) -%}
    {%- set state = run_state() -%}
    {%- if state.mode == 'full' -%}
        {{ return(valid_and_visible()) }}
    {%- endif -%}
    {{ valid_and_visible() }}
    {%- if state.touched_days is defined %}
    and {{ "occurred_at >= '" ~ (state.touched_days[0] - modules.datetime.timedelta(days=lookback_days)) ~ "'" if state.touched_days else 'false' }}
    {%- endif %}
    and {{ entity }} in (select {{ entity }} from {{ state.touched }})
{%- endmacro %}


{#- Internals -#}

{#- How this model runs now, worked out once per model and run. Kept in `graph`, where compilation, strategy and hooks all see it:
      mode    full (everything), incremental (what was loaded since the watermark), restate (a window of days)
      since   the lower bound of load times, inclusive, the overlap before the watermark
      window  the restated days, [first, end)
    and later: touched (the table or query of touched keys), touched_days, rows. -#}
{%- macro run_state() -%}
    {%- set states = graph.setdefault('tidemark_states', {}) if execute else {} -%}
    {%- set key = invocation_id ~ model.unique_id -%}
    {%- if key not in states -%}
        {%- set incremental = is_incremental() -%}
        {%- set window = restated_window() if incremental else none -%}
        {%- set watermark = last_watermark() if incremental else none -%}
        {%- set overlap = modules.datetime.timedelta(minutes=var('watermark_overlap_minutes')) -%}
        {%- do states.update({key: {
            'mode': 'full' if not incremental else 'restate' if window else 'incremental',
            'window': window,
            'since': utc_moment(watermark) - overlap if watermark and not window else none,
            'requests': open_requests() if not window and model.resource_type != 'unit_test' else [],
            'ranges': none,
            'partitions': none,
        }}) -%}
    {%- endif -%}
    {{ return(states[key]) }}
{%- endmacro %}

{#- dbt's own --event-time-start and --event-time-end (it asks for both or none), widened to whole days. -#}
{%- macro restated_window() -%}
    {%- set start, end = invocation_args_dict.get('event_time_start'), invocation_args_dict.get('event_time_end') -%}
    {%- if model.resource_type != 'model' or not start -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set microsecond, day = modules.datetime.timedelta(microseconds=1), modules.datetime.timedelta(days=1) -%}
    {{ return((utc_moment(start).date(), (utc_moment(end) - microsecond).date() + day)) }}
{%- endmacro %}

{#- The touched keys go into one temporary table: what is recomputed and what is deleted cannot differ.
    Compile, docs, show and unit tests get the query itself, and write nothing. -#}
{%- macro keep_touched(sql, entity, day) -%}
    {%- set state = run_state() -%}
    {%- do state.update({'entity': entity, 'day': day, 'touched': '(' ~ sql ~ ') as touched'}) -%}
    {%- if model.resource_type == 'model' and flags.WHICH in ('run', 'build') -%}
        {%- do run_query('create or replace temporary table ' ~ touched_table() ~ ' as ' ~ sql) -%}
        {%- set column = 'replay_from' if config.get('incremental_strategy') == 'replay' else 'touched_day' -%}
        {%- set days = run_query('select ' ~ column ~ ', count(*) from ' ~ touched_table() ~ ' group by 1 order by 1').rows -%}
        {%- do state.update({
            'touched': touched_table(),
            'touched_days': days | map(attribute=0) | list,
            'partitions': days | map(attribute=1) | sum | int,
        }) -%}
    {%- endif -%}
{%- endmacro %}

{#- Days as at most ten [first, end) ranges, cut at the widest gaps. As literals they let the engine skip what it stores of other
    days; OR-ed ranges cost more than they save past ten (measured: 40 scattered days took eight times as long). -#}
{%- macro merged_ranges(days, lookback_days=0) -%}
    {%- set day, gaps, ranges = modules.datetime.timedelta(days=1), [], [] -%}
    {%- for date in days[1:] -%}
        {%- set gap = (date - days[loop.index0]).days -%}
        {%- if gap > 1 + lookback_days -%}
            {%- do gaps.append((gap, date)) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set starts = (gaps | sort(reverse=true))[:9] | map(attribute=1) | list -%}
    {%- for date in days -%}
        {%- if loop.first or date in starts -%}
            {%- do ranges.append((date - lookback_days * day, date + day)) -%}
        {%- else -%}
            {%- do ranges.append((ranges.pop()[0], date + day)) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(ranges) }}
{%- endmacro %}

{#- `column` within any of the ranges of days, as literals in UTC; no ranges known means no bound. -#}
{%- macro within(column, ranges) -%}
    {%- if ranges is none -%}
        {{ return('true') }}
    {%- endif -%}
    {%- set terms = [] -%}
    {%- for first, end in ranges -%}
        {%- do terms.append('(' ~ column ~ " >= '" ~ first ~ " 00:00:00+00:00' and " ~ column ~ " < '" ~ end ~ " 00:00:00+00:00')") -%}
    {%- endfor -%}
    {{ return('(' ~ (terms | join(' or ') or 'false') ~ ')') }}
{%- endmacro %}

{%- macro numbers_to(last) -%}
    (select 0 as days_later{% for number in range(1, last + 1) %} union all select {{ number }}{% endfor %}) as offsets
{%- endmacro %}

{#- Requests name entities as text; the table knows their type. -#}
{%- macro requested_entity(request, entity) -%}
    {%- set types = {} -%}
    {%- for column in adapter.get_columns_in_relation(this) -%}
        {%- do types.update({column.name | lower: column.dtype}) -%}
    {%- endfor -%}
    cast('{{ request.entity | replace("'", "''") }}' as {{ types[entity] }})
{%- endmacro %}

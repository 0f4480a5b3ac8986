{#- How a model runs now, worked out once per model and run. -#}

{#- How this model runs now, worked out once per model and run. Kept in `graph`, where compilation, strategy and hooks
    all see it:
      mode        full (everything), incremental (what was loaded since the watermark), restate (a window of days),
                  coverage (the same, and only to compare)
      since       the lower bound of load times, inclusive: the overlap before the watermark
      window      the restated days, [first, end)
      known       the clock up to which coverage compares
      requests    until when someone asked for partitions, and of which days
      began       when it was first asked for
    and later: entity, day, touched (the table or query of touched keys), touched_days, reached_spans (of sessions),
    partitions, rows. -#}
{%- macro run_state() -%}
    {%- if tidemark.is_in_full() -%}
        {{ return(context['tidemark_in_full']) }}
    {%- endif -%}
    {%- set states = graph.setdefault('tidemark_states', {}) if execute else {} -%}
    {%- set key = invocation_id ~ model.unique_id -%}
    {%- if key not in states -%}
        {%- if flags.WHICH in ('run', 'build', 'snapshot') and model.resource_type != 'unit_test' -%}
            {%- if execute and tidemark.is_recorded(model) and not tidemark.is_coverage() -%}
                {%- do tidemark.refuse_held(graph.nodes[model.unique_id]) -%}
            {%- endif -%}
            {%- do tidemark.open_session() -%}
        {%- endif -%}
        {%- set is_whole = config.get('incremental_strategy') == 'full' -%}
        {%- if tidemark.is_coverage() and is_incremental() -%}
            {%- set mode, window = 'coverage', tidemark.coverage_window() -%}
        {%- elif is_whole or not is_incremental() -%}
            {%- set mode, window = 'full', none -%}
        {%- else -%}
            {%- set window = tidemark.restated_window() -%}
            {%- set mode = 'restate' if window else 'incremental' -%}
        {%- endif -%}
        {%- set watermark = tidemark.last_watermark() if mode == 'incremental' else none -%}
        {%- do states.update({key: {
            'mode': mode,
            'since': tidemark.overlap_start(watermark) if watermark else none,
            'window': window,
            'known': tidemark.known_clock() if mode == 'coverage' else tidemark.as_of_value(),
            'requests': none if window or model.resource_type == 'unit_test' else tidemark.open_requests(),
            'partitions': none,
            'began': tidemark.wall_clock(),
        }}) -%}
    {%- endif -%}
    {{ return(states[key]) }}
{%- endmacro %}

{#- dbt's own --event-time-start and --event-time-end (it asks for both or none), widened to whole days. -#}
{%- macro restated_window() -%}
    {%- set explained = var('explain') if tidemark.is_explained() else {} -%}
    {%- set start = explained.get('start') or invocation_args_dict.get('event_time_start') -%}
    {%- set end = explained.get('end') or invocation_args_dict.get('event_time_end') -%}
    {%- if model.resource_type == 'unit_test' or not start -%}
        {{ return(none) }}
    {%- endif -%}
    {{ return(tidemark.whole_days(start, end)) }}
{%- endmacro %}

{%- macro whole_days(start, end) -%}
    {%- set last_moment = tidemark.shifted(tidemark.utc_moment(end), modules.datetime.timedelta(microseconds=-1)) -%}
    {{ return((tidemark.utc_moment(start).date(), tidemark.day_plus(last_moment.date(), 1))) }}
{%- endmacro %}

{#- The touched keys go into one temporary table: what is recomputed and what is deleted cannot differ. -#}
{%- macro keep_touched(sql, entity, day) -%}
    {%- set state, kept = tidemark.run_state(), tidemark.keys_above_retention_floor(sql) -%}
    {%- set touched = tidemark.in_temporary_table('touched', tidemark.keys_of_asked_entities(kept, entity)) -%}
    {%- do state.update({'entity': entity, 'day': day, 'touched': touched}) -%}
    {%- if tidemark.keeps_touched() -%}
        {%- set column = 'replay_from' if config.get('incremental_strategy') == 'replay' else 'touched_day' -%}
        {%- set has_spans = config.get('incremental_strategy') == 'sessions' -%}
        {%- set days_sql -%}
            select
                {{ tidemark.within_calendar(column) }} as day,
                count(*) as touched_keys
                {%- for reached in ['first_day', 'last_day'] if has_spans %},
                {{ tidemark.within_calendar(reached) }} as {{ reached }}
                {%- endfor %}
            from {{ state.touched }}
            group by {{ '1, 3, 4' if has_spans else 1 }}
            order by day
        {%- endset -%}
        {%- set found = run_query(days_sql) -%}
        {%- do state.update({
            'touched_days': found.columns[0].values() | reject('none') | unique | list,
            'partitions': found.columns[1].values() | sum | int,
            'reached_spans': zip(found.columns[2].values(), found.columns[3].values()) | list if has_spans else none,
        }) -%}
    {%- endif -%}
    {%- if tidemark.is_explained() -%}
        {%- do tidemark.explain_touched() -%}
    {%- endif -%}
{%- endmacro %}

{#- The touched keys that may still be recomputed: whatever touches the others, what is stored of them stays. A session
    that is not stored yet has no touched day. -#}
{%- macro keys_above_retention_floor(sql) -%}
    {%- set floor = tidemark.retention_floor(model) -%}
    {%- if not floor -%}
        {{ return(sql) }}
    {%- endif -%}
    {%- if tidemark.run_state().window and tidemark.run_state().window[0] < floor -%}
        {%- do log(model.name ~ ': nothing before ' ~ floor ~ ' is restated, its raw rows were pruned.', info=true) -%}
    {%- endif -%}
    select * from ({{ sql }}) as found
    where touched_day is null or touched_day >= {{ tidemark.date_literal(floor) }}
{%- endmacro %}

{#- Coverage of some entities works out these alone. -#}
{%- macro keys_of_asked_entities(sql, entity) -%}
    {%- set condition = tidemark.is_asked_entity(entity) if tidemark.run_state().mode == 'coverage' else 'true' -%}
    {{ return(sql if condition == 'true' else 'select * from (' ~ sql ~ ') as found where ' ~ condition) }}
{%- endmacro %}

{#- What a query finds, in a temporary table, so that it is asked once and the engine knows how little it is. Compile,
    docs, show and unit tests get the query itself, and write nothing. -#}
{%- macro in_temporary_table(name, sql) -%}
    {%- if tidemark.keeps_touched() -%}
        {%- do run_query('create or replace temporary table ' ~ tidemark.touched_table(name) ~ ' as ' ~ sql) -%}
    {%- endif -%}
    {{ return(tidemark.touched_table(name) if tidemark.keeps_touched() else '(' ~ sql ~ ') as ' ~ name) }}
{%- endmacro %}

{%- macro keeps_touched() -%}
    {{ return(model.resource_type == 'model' and (flags.WHICH in ('run', 'build') or tidemark.is_explained())) }}
{%- endmacro %}

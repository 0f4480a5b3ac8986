{#- What a rebuild with the code that is there would change, in the last days, before it is made: the text of a full
    refresh runs at the clock up to which the table is known, into a temporary table, and is compared with what is
    stored. What other code made is written into the query, as are the views between. No table is written. -#}

{%- macro compared_code(node, changed, days) -%}
    {%- set began = tidemark.wall_clock() -%}
    {%- set job = tidemark.ledger_state().jobs.get(node.name, {}) -%}
    {%- set known = tidemark.utc_moment(job.get('built_until') or tidemark.as_of_value()) -%}
    {%- set state = tidemark.full_state(known) -%}
    {%- set query = tidemark.query_in_full(node, changed, state) -%}
    {%- set made, pairs = tidemark.scratch_table(node, 'made'), tidemark.scratch_table(node, 'pairs') -%}
    {%- do run_query('create or replace temporary table ' ~ made ~ ' as ' ~ query) -%}
    {%- set about = tidemark.about_table(node, state, made, tidemark.day_plus(known.date(), -days)) -%}
    {%- do run_query('create or replace temporary table ' ~ pairs ~ ' as ' ~ tidemark.changed_pairs(about)) -%}
    {%- set told = tidemark.told_of_pairs(about, pairs) -%}
    {{ return(dict(told, seconds=(tidemark.wall_clock() - began).total_seconds())) }}
{%- endmacro %}

{#- Outside any schema on DuckDB; see touched_table. -#}
{%- macro scratch_table(node, name) -%}
    {%- do context.update({'this': tidemark.relation_of(node)}) -%}
    {%- set table = tidemark.touched_table(name) -%}
    {%- do context.pop('this') -%}
    {{ return(table) }}
{%- endmacro %}

{#- A model's query with what it reads written into it, but for raw tables, seeds, and tables whose code is the same.
    -#}
{%- macro query_in_full(node, changed, state) -%}
    {%- do tidemark.inline_above(node, changed, state.inlined) -%}
    {%- set parts = [] -%}
    {%- for id in state.inlined -%}
        {%- set inner = dict(tidemark.full_state(state.known), inlined=state.inlined) -%}
        {%- set text = tidemark.rendered_in_full(graph.nodes[id], inner) -%}
        {%- do parts.append(tidemark.inlined_name(graph.nodes[id]) ~ ' as (\n' ~ text ~ '\n)') -%}
    {%- endfor -%}
    {%- set query = tidemark.rendered_in_full(node, state) -%}
    {{ return(('with ' ~ parts | join(',\n') ~ '\n' if parts else '') ~ 'select * from (\n' ~ query ~ '\n) as made') }}
{%- endmacro %}

{#- Adds the ids of what is written into the query of a node, parents before children. -#}
{%- macro inline_above(node, changed, found) -%}
    {%- for id in node.depends_on.get('nodes', []) if id in graph.nodes and id not in found -%}
        {%- set parent = graph.nodes[id] -%}
        {%- set is_stored = tidemark.is_recorded(parent) and parent.config.materialized != 'view' -%}
        {%- set is_seed_or_snapshot = parent.resource_type in ('seed', 'snapshot') -%}
        {%- if not is_seed_or_snapshot and (parent.name in changed or not is_stored) -%}
            {%- do tidemark.inline_above(parent, changed, found) -%}
            {%- do found.append(id) if id not in found -%}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{#- What a comparison goes by: the columns of both sides, the key that tells rows apart, entity and day. -#}
{%- macro about_table(node, state, made, first_day) -%}
    {%- set names, columns = [], [] -%}
    {%- for name in run_query('select * from ' ~ made ~ ' limit 0').column_names -%}
        {%- do names.append(name | lower) -%}
    {%- endfor -%}
    {%- for column in adapter.get_columns_in_relation(tidemark.relation_of(node)) -%}
        {%- if column.name | lower in names and column.name | lower != 'record_loaded_at' -%}
            {%- do columns.append(column.name | lower) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set own, day = [state.get('entity'), state.get('day')] | select | list, state.get('day') -%}
    {%- set key = tidemark.key_of(node) or own or [columns[0]] -%}
    {%- set floor = tidemark.retention_floor(node) -%}
    {{ return({
        'stored': tidemark.relation_of(node),
        'made': made,
        'columns': columns,
        'key': key | select('in', columns) | list,
        'entity': state.get('entity') or key[0],
        'day': day if day in columns else none,
        'first_day': [first_day, floor] | select | max,
    }) }}
{%- endmacro %}

{#- The columns that tell the rows of a table apart: its unique_key, or what a test says to be unique. -#}
{%- macro key_of(node) -%}
    {%- set key = node.config.get('unique_key') -%}
    {%- if key -%}
        {{ return([key] if key is string else key) }}
    {%- endif -%}
    {%- for test in graph.nodes.values() if test.resource_type == 'test' and test.attached_node == node.unique_id -%}
        {%- set kwargs = (test.test_metadata or {}).get('kwargs', {}) -%}
        {%- if kwargs.get('combination_of_columns') -%}
            {{ return(kwargs.combination_of_columns) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return([]) }}
{%- endmacro %}

{#- The rows that differ, those of one key beside one another as text: before and after. -#}
{%- macro changed_pairs(about) -%}
    {%- set columns, key = about.columns | join(', '), about.key | join(', ') %}
    with sides as (
        {%- for relation, weight in [(about.made, 1), (about.stored, -1)] %}
        select {{ columns }}, {{ weight }} as balance
        from {{ relation }}
        {%- if about.day %}
        where cast({{ about.day }} as date) >= {{ tidemark.date_literal(about.first_day) }}
        {%- endif %}
        {{- ' union all' if not loop.last }}
        {%- endfor %}
    ),

    differing as (
        select {{ columns }}, sum(balance) as balance
        from sides
        group by {{ columns }}
        having sum(balance) <> 0
    ),

    numbered as (
        select
            *,
            row_number() over (
                partition by {{ key }}, case when balance > 0 then 1 else 0 end order by {{ columns }}
            ) as ordinal
        from differing
    )

    select
        {{ key }},
        ordinal,
        max(case when balance > 0 then 1 else 0 end) as is_made,
        max(case when balance < 0 then 1 else 0 end) as is_stored
        {%- for column in about.columns %},
        max(case when balance > 0 then cast({{ column }} as varchar) end) as after_{{ loop.index }},
        max(case when balance < 0 then cast({{ column }} as varchar) end) as before_{{ loop.index }}
        {%- endfor %}
    from numbered
    group by {{ key }}, ordinal
{%- endmacro %}

{#- How many rows and partitions, which columns, which entities most, and ten of them. -#}
{%- macro told_of_pairs(about, pairs) -%}
    {%- set columns, entities, sample = {}, {}, [] -%}
    {%- set counts -%}
        select
            count(*),
            sum(case when is_stored = 0 then 1 else 0 end),
            sum(case when is_made = 0 then 1 else 0 end)
            {%- for column in about.columns %},
            sum(case when is_made + is_stored = 2 and after_{{ loop.index }} is distinct from before_{{ loop.index }}
                then 1 else 0 end)
            {%- endfor %}
        from {{ pairs }}
    {%- endset -%}
    {%- set row = run_query(counts).rows[0] -%}
    {%- for column in about.columns -%}
        {%- do columns.update({column: row[loop.index0 + 3] | int}) if row[loop.index0 + 3] -%}
    {%- endfor -%}
    {%- set partition_key = [about.entity, about.day] | select('in', about.key) | join(', ') or about.key[0] -%}
    {%- set partitions = tidemark.count_of('(select count(*) from (select distinct ' ~ partition_key ~ ' from '
        ~ pairs ~ ') as partitions_changed)') -%}
    {%- set subject = about.entity if about.entity in about.key else about.key[0] -%}
    {%- set most -%}
        select cast({{ subject }} as varchar), count(*) from {{ pairs }} group by 1 order by 2 desc, 1 limit 5
    {%- endset -%}
    {%- for found in (run_query(most).rows if row[0] else []) -%}
        {%- do entities.update({(found[0] if found[0] is not none else '(none)') | string: found[1] | int}) -%}
    {%- endfor -%}
    {%- set few = 'select * from ' ~ pairs ~ ' order by ' ~ about.key | join(', ') ~ ', ordinal limit 10' -%}
    {%- for found in (tidemark.named_rows(few) if row[0] else []) -%}
        {%- do sample.append(tidemark.told_row(about, found)) -%}
    {%- endfor -%}
    {{ return({
        'first_day': about.first_day | string if about.day else none,
        'rows': row[0] | int,
        'new': (row[1] or 0) | int,
        'gone': (row[2] or 0) | int,
        'partitions': partitions,
        'columns': columns,
        'entities': entities,
        'sample': sample,
    }) }}
{%- endmacro %}

{%- macro told_row(about, found) -%}
    {%- set before, after, key = {}, {}, [] -%}
    {%- set change = 'changed' if found['is_made'] and found['is_stored'] else 'new' if found['is_made'] else 'gone' -%}
    {%- for column in about.columns -%}
        {%- set was, now = found['before_' ~ loop.index], found['after_' ~ loop.index] -%}
        {%- if was != now and column not in about.key -%}
            {%- do before.update({column: tidemark.told_value(was)}) if change != 'new' -%}
            {%- do after.update({column: tidemark.told_value(now)}) if change != 'gone' -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for column in about.key -%}
        {%- do key.append(found[column] | string) -%}
    {%- endfor -%}
    {{ return({'change': change, 'key': key | join(', '), 'before': before, 'after': after}) }}
{%- endmacro %}

{#- As text again: dbt reads numbers and times out of it. -#}
{%- macro told_value(value) -%}
    {{ return(none if value is none else value | string | lower if value is boolean else value | string) }}
{%- endmacro %}

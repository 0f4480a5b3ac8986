{#- What a change of code means for the tables, asked by `tidemark plan`: it only reads. -#}

{#- run-operation: by name the recorded nodes that other code made, and what their rebuild means: rows and bytes of the
    table, the seconds of its last full refresh, from which day on it can be rebuilt. -#}
{%- macro plan_facts(compare=false, days=none) -%}
    {%- do tidemark.flag_argument('compare', compare) -%}
    {%- set days = tidemark.setting('coverage_days') if days is none else days -%}
    {%- do tidemark.number_argument('days', days, 1, 36525) -%}
    {%- do tidemark.refuse_incomplete_wiring() -%}
    {%- set nodes, told, changed = {}, {}, tidemark.changed_code(none) -%}
    {%- do changed.update(tidemark.readers_of_rebuilt(changed)) -%}
    {%- for node in graph.nodes.values() if node.name in changed and tidemark.is_recorded(node) -%}
        {%- do nodes.update({node.name: node}) -%}
    {%- endfor -%}
    {%- set refreshes = tidemark.last_full_refreshes(nodes) -%}
    {%- for name, node in nodes.items() -%}
        {%- set relation = load_relation(tidemark.relation_of(node)) -%}
        {%- set is_table = relation is not none and node.config.materialized != 'view' -%}
        {%- do told.update({name: dict(
            changed[name],
            materialized=node.config.materialized,
            rows=tidemark.count_of('(select count(*) from ' ~ relation ~ ')') if is_table else none,
            bytes=tidemark.stored_bytes(relation) if is_table else none,
            seconds=refreshes.get(name),
            kept_before=tidemark.retention_floor(node) | string if tidemark.retention_floor(node) else none,
            follows=tidemark.session_tables(node) | select('in', changed) | list,
        )}) -%}
        {%- if compare and relation is not none and node.resource_type == 'model' -%}
            {%- do told[name].update({'comparison': tidemark.compared_code(node, changed, days)}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do log('tidemark:plan ' ~ tojson({'as_of': tidemark.as_of_value().isoformat(), 'models': told})) -%}
{%- endmacro %}

{#- The tables that are rebuilt with a table of sessions that they read, though their own code is the same. -#}
{%- macro readers_of_rebuilt(changed) -%}
    {%- set readers = {} -%}
    {%- for node in graph.nodes.values() if tidemark.is_recorded(node) and node.name not in changed -%}
        {%- set names = tidemark.session_tables(node) | select('in', changed) | list -%}
        {%- if names -%}
            {%- do readers.update({node.name: {
                'policy': changed[names[0]].policy, 'since': changed[names[0]].since,
                'why': 'it follows ' ~ names | join(', '), 'differences': [],
            }}) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(readers) }}
{%- endmacro %}

{%- macro last_full_refreshes(nodes) -%}
    {%- set seconds, names = {}, tidemark.text_literals(nodes) -%}
    {%- set sql -%}
        select job_name, {{ tidemark.seconds_between('started_at', 'completed_at') }}
        from {{ tidemark.ops_table('etl_job_runs') }}
        where mode = 'full' and status = 'success' and job_name in ({{ names }})
        qualify row_number() over (partition by job_name order by ledger_entry desc) = 1
    {%- endset -%}
    {%- for row in (run_query(sql).rows if nodes else []) -%}
        {%- do seconds.update({row[0]: row[1] | float}) -%}
    {%- endfor -%}
    {{ return(seconds) }}
{%- endmacro %}

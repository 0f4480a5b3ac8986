{#- What a test can be bounded by. -#}

{#- `rows`: a row's verdict is its own. `keys`: its key's rows decide together. `whole`: nobody knows, so it looks at
    everything. `sweep`: only `dbt test` looks. A test says so itself with `meta: {scope: rows}`; of dbt's own and those
    of dbt_utils it is known. -#}
{%- macro test_scope(test) -%}
    {%- set attached, settings = graph.nodes.get(test.attached_node or ''), test.config -%}
    {%- set told = (settings.meta or {}).get('scope') -%}
    {#- a threshold counts over the table -#}
    {%- set counts = settings.fail_calc != 'count(*)' or settings.error_if != '!= 0' or settings.warn_if != '!= 0' -%}
    {%- if not attached or (told != 'sweep' and (counts or tidemark.tells_more_than_its_row(test))) -%}
        {{ return('whole') }}
    {%- elif told -%}
        {{ return(told) }}
    {%- endif -%}
    {%- set known = {
        'macro.dbt.test_not_null': 'rows',
        'macro.dbt.test_accepted_values': 'rows',
        'macro.dbt.test_relationships': 'rows',
        'macro.dbt.test_unique': 'keys',
        'macro.dbt_utils.test_accepted_range': 'rows',
        'macro.dbt_utils.test_expression_is_true': 'rows',
        'macro.dbt_utils.test_not_accepted_values': 'rows',
        'macro.dbt_utils.test_not_empty_string': 'rows',
        'macro.dbt_utils.test_unique_combination_of_columns': 'keys',
        'macro.tidemark.test_one_row_per': 'keys',
    } -%}
    {%- set scopes = [] -%}
    {%- for macro in test.depends_on.macros if macro in known -%}
        {%- do scopes.append(known[macro]) -%}
    {%- endfor -%}
    {{ return(scopes | first | default('whole')) }}
{%- endmacro %}

{#- An argument that asks other rows, or the clock, or what Jinja makes of it: nothing is known of those. -#}
{%- macro tells_more_than_its_row(test) -%}
    {%- set arguments = dict(test.test_metadata.kwargs) -%}
    {%- for name in ['model', 'to', 'field'] -%}
        {%- do arguments.pop(name, none) -%}
    {%- endfor -%}
    {%- set text = (tojson(arguments) ~ ' ' ~ (test.config.where or '')) | lower -%}
    {%- set others = '\\{\\{|\\{%|select|current_?(date|time)|sysdate|getdate|\\bnow\\(|today|random|\\bover\\b' -%}
    {{ return(modules.re.search(others, text) is not none or arguments.get('quote_columns', false)) }}
{%- endmacro %}

{#- The columns that a test wants to be unique together. -#}
{%- macro tested_keys(test) -%}
    {%- set arguments = test.test_metadata.kwargs -%}
    {%- set columns = arguments.get('combination_of_columns') or arguments.get('columns') -%}
    {{ return(columns or [arguments.get('column_name')]) }}
{%- endmacro %}

{#- The tables whose days the tests of this model follow, and the model's own column of that day. A view is tested at
    the days of tables below it where its meta says so: `follows: {tables: [orders_daily], day: activity_date}`. Then a
    day of the view is decided by that day of the tables (with `onwards: true`, by that day or an earlier one). When
    another table below it is written the whole view is tested. -#}
{%- macro followed_tables(node) -%}
    {%- set meta, strategy = node.config.get('meta') or {}, node.config.incremental_strategy -%}
    {%- if node.config.materialized == 'view' -%}
        {{ return(meta.get('follows')) }}
    {%- elif node.config.materialized != 'incremental' or strategy not in ('partitions', 'replay', 'sessions') -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set day = (tidemark.written_state(node.unique_id) or {}).get('day') or meta.get('day') -%}
    {{ return({'tables': [node.name], 'day': day}) }}
{%- endmacro %}

{#- Every table that decides a test's verdict, by id, with the views between. -#}
{%- macro lineage_of_test(test) -%}
    {%- set ids = [] -%}
    {%- for id in test.depends_on.nodes if tidemark.holds_rows(id) -%}
        {%- do ids.append(id) -%}
    {%- endfor -%}
    {{ return(ids + tidemark.ids_above(ids, takes=tidemark.holds_rows, through=tidemark.is_not_stored)) }}
{%- endmacro %}

{#- What the ledger says of a table's clock is none of its rows. -#}
{%- macro holds_rows(id) -%}
    {{ return(id != 'model.tidemark.etl_job_watermarks') }}
{%- endmacro %}

{%- macro is_not_stored(id) -%}
    {{ return(graph.nodes[id].config.materialized in ('view', 'ephemeral')) }}
{%- endmacro %}

{#- Whether the test, as it is now, has passed on everything that was written before this command. -#}
{%- macro has_passed_before(test, trusts_others=false) -%}
    {%- set is_partial = invocation_args_dict.get('empty') or invocation_args_dict.get('sample') -%}
    {%- if flags.WHICH != 'build' or is_partial -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set passed = tidemark.ledger_state().tests.get(test.unique_id) -%}
    {%- if not passed or passed.checksum != tidemark.test_checksum(test) -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set jobs = tidemark.ledger_state().jobs -%}
    {%- for id in tidemark.lineage_of_test(test) -%}
        {%- set node = graph.nodes.get(id, {}) -%}
        {%- set is_table = node and node.resource_type == 'model' and node.config.materialized == 'incremental' -%}
        {%- set is_view = node and node.config.materialized in ('view', 'ephemeral') -%}
        {%- if is_table and tidemark.is_recorded(node) -%}
            {%- set entry = jobs.get(node.name, {}).get('written_entry') -%}
            {%- if not entry or entry > passed.ledger_entry -%}
                {{ return(false) }}
            {%- endif -%}
        {%- elif not (is_view and node.depends_on.nodes) and not (trusts_others and tidemark.is_raw(id)) -%}
            {{ return(false) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(true) }}
{%- endmacro %}

{%- macro is_raw(id) -%}
    {{ return(id in graph.sources or (id in graph.nodes and graph.nodes[id].resource_type in ('seed', 'snapshot'))) }}
{%- endmacro %}

{#- What a test was when it passed: itself, the models below it, and whatever macros and settings may show in them. -#}
{%- macro test_checksum(test) -%}
    {%- set told = tidemark.told_of_test(test) -%}
    {%- if 'checksum' not in told -%}
        {%- set settings, parts = test.config, [test.raw_code, tidemark.checksum_of_macros()] -%}
        {%- do parts.append(tojson((test.test_metadata or {}).get('kwargs', {}), sort_keys=true)) -%}
        {%- for name in ['where', 'limit', 'severity', 'fail_calc', 'warn_if', 'error_if', 'meta'] -%}
            {%- do parts.append(settings.get(name) | string) -%}
        {%- endfor -%}
        {%- for id in tidemark.lineage_of_test(test) -%}
            {%- set node = graph.nodes.get(id) or {} -%}
            {%- do parts.append(id ~ ((node.checksum or {}).checksum or '')) -%}
            {%- do parts.append(tojson((node.config or {}).get('meta') or {}, sort_keys=true)) -%}
        {%- endfor -%}
        {%- do told.update({'checksum': local_md5(parts | join('\n'))}) -%}
    {%- endif -%}
    {{ return(told.checksum) }}
{%- endmacro %}

{#- One for all macros but dbt's own, and for the settings that they and the models read: who changes one, tests
    everything once. -#}
{%- macro checksum_of_macros() -%}
    {%- set key = 'tidemark_macros' ~ invocation_id -%}
    {%- if key not in graph -%}
        {%- set parts, packages, codes = [dbt_version], [], [] -%}
        {%- for node in graph.nodes.values() -%}
            {%- do packages.append(node.package_name) -%}
            {%- do codes.append(node.raw_code or '') -%}
            {%- for macro in node.depends_on.macros or [] -%}
                {%- do packages.append(macro.split('.')[1]) -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- set dbts = ['dbt', 'dbt_duckdb', 'dbt_snowflake'] -%}
        {%- for package in packages | unique | sort if package in context and package not in dbts -%}
            {%- for name in context[package] | sort -%}
                {%- do parts.append(context[package][name].macro.macro_sql) -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- for name in modules.re.findall("var\\(['\"](\\w+)", (parts + codes) | join('\n')) | unique | sort -%}
            {%- if name not in ['as_of', 'coverage', 'explain', 'run_id', 'test_days'] -%}
                {%- do parts.append(name ~ ': ' ~ var(name, none)) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- for name in tidemark.default_settings() -%}
            {%- do parts.append(name ~ ': ' ~ tidemark.setting(name)) -%}
        {%- endfor -%}
        {%- do graph.update({key: local_md5(parts | join('\n'))}) -%}
    {%- endif -%}
    {{ return(graph[key]) }}
{%- endmacro %}

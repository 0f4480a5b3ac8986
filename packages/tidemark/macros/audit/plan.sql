{#- Audit before publish: which tests decide whether new rows are published, and on which rows. -#}

{#- When the tests of a model run in a build: before its rows are published, after, or not at all. -#}
{%- macro audit_setting(node) -%}
    {%- set meta = node.config.get('meta') or {} -%}
    {%- set told = meta.get('audit', node.config.get('audit') or tidemark.setting('audit')) -%}
    {%- if told not in ['before', 'after', 'none', none] -%}
        {{ exceptions.raise_compiler_error(
            'audit: ' ~ told ~ ' of ' ~ node.name ~ ' is none of before, after and none. Nothing was touched.'
        ) }}
    {%- endif -%}
    {{ return(told or 'none') }}
{%- endmacro %}

{#- Whether this build of the model audits. Builds with --empty or --sample hold no table that anybody is to read, and
    coverage publishes nothing. -#}
{%- macro is_audited() -%}
    {%- set is_partial = invocation_args_dict.get('empty') or invocation_args_dict.get('sample') -%}
    {%- set is_stored = model.resource_type == 'model' and config.get('materialized') in ('incremental', 'table') -%}
    {{ return(
        execute and flags.WHICH in ('run', 'build') and is_stored and not is_partial and not tidemark.is_coverage()
        and tidemark.is_recorded(model) and tidemark.audit_setting(model) == 'before'
    ) }}
{%- endmacro %}

{#- The generic tests of a model. -#}
{%- macro tests_of(unique_id) -%}
    {%- set key = 'tidemark_tests_of' ~ invocation_id -%}
    {%- if key not in graph -%}
        {%- set by_model = {} -%}
        {%- for node in graph.nodes.values() if node.resource_type == 'test' and node.get('test_metadata') -%}
            {%- do by_model.setdefault(node.attached_node, []).append(node) -%}
        {%- endfor -%}
        {%- do graph.update({key: by_model}) -%}
    {%- endif -%}
    {{ return(graph[key].get(unique_id, []) | sort(attribute='name')) }}
{%- endmacro %}

{#- How a test of a model is decided: `when` (before, after), on which rows it `reads` (rows, keys, whole), the columns
    of its `groups`, and why. A parent that the same run may build later cannot be asked before: which those are is
    told by `built`, the ids that the run builds. -#}
{%- macro audit_of(test, node, partition, built) -%}
    {%- set reads = tidemark.test_scope(test) -%}
    {%- set why = tidemark.obstacle_to_audit(test, node, reads, built) -%}
    {%- if why -%}
        {{ return({'when': 'after', 'reads': none, 'groups': [], 'why': why}) }}
    {%- elif reads == 'rows' -%}
        {{ return({'when': 'before', 'reads': 'rows', 'groups': [], 'why': 'each row by itself'}) }}
    {%- elif reads != 'keys' -%}
        {{ return({'when': 'before', 'reads': 'whole', 'groups': [], 'why': 'the table as it will be'}) }}
    {%- endif -%}
    {%- set groups = tidemark.tested_keys(test) -%}
    {%- set known = groups | map('lower') | map('replace', '"', '') | list -%}
    {%- set lies_within = partition.get('entity') in known and (
        partition.get('day') in known or (partition.get('session') and partition.get('session') in known)
    ) -%}
    {{ return({
        'when': 'before',
        'reads': 'rows' if lies_within else 'keys',
        'groups': groups,
        'why': 'groups within a partition' if lies_within else 'with the stored rows of the same key',
    }) }}
{%- endmacro %}

{#- Why a test cannot be decided before, or nothing. -#}
{%- macro obstacle_to_audit(test, node, reads, built) -%}
    {%- set named, read_tables = [node.unique_id], [] -%}
    {%- for value in tidemark.texts_in(test.test_metadata.kwargs.items() | rejectattr(0, 'equalto', 'model') | list) -%}
        {%- do named.append(tidemark.id_named_in(value, test)) -%}
        {%- if modules.re.search('(?i)\\bselect\\b', value) -%}
            {%- do read_tables.append(value) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set hidden, later = test.depends_on.nodes | reject('in', named) | list, [] -%}
    {%- for id in named if id and id != node.unique_id and tidemark.may_be_built_after(id, node, built) -%}
        {%- do later.append(id.split('.') | last) -%}
    {%- endfor -%}
    {%- set asks = reads == 'whole' and tidemark.wants_a_relation(test) -%}
    {%- if test.config.severity | lower != 'error' -%}
        {{ return('only warns') }}
    {%- elif reads == 'sweep' -%}
        {{ return('a sweep, for `dbt test` alone') }}
    {%- elif hidden -%}
        {{ return('its macro reads ' ~ hidden[0].split('.') | last) }}
    {%- elif later -%}
        {{ return('reads ' ~ later[0] ~ ', which the run may build later') }}
    {%- elif read_tables or modules.re.search('(?i)\\bselect\\b', test.config.get('where') or '') -%}
        {{ return('an argument reads a table') }}
    {%- elif asks -%}
        {{ return('asks the engine about the relation') }}
    {%- endif -%}
    {{ return(none) }}
{%- endmacro %}

{#- All texts in arguments, lists and mappings among them. -#}
{%- macro texts_in(values) -%}
    {%- set texts, queue = [], [values] -%}
    {%- for value in queue -%}
        {%- if value is string -%}
            {%- do texts.append(value) -%}
        {%- elif value is mapping -%}
            {%- do queue.extend(value.values()) -%}
        {%- elif value is sequence -%}
            {#- the loop goes on over what it appends -#}
            {%- do queue.extend(value) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(texts) }}
{%- endmacro %}

{#- The macro that dbt calls for a test, by its id. -#}
{%- macro macro_of_test(test) -%}
    {%- set ending = '.test_' ~ test.test_metadata.name -%}
    {%- for id in test.depends_on.macros if id.endswith(ending) -%}
        {{ return(id) }}
    {%- endfor -%}
    {{ return('macro.' ~ (test.test_metadata.namespace or 'dbt') ~ ending) }}
{%- endmacro %}

{%- macro callable_of_test(test) -%}
    {%- set parts = tidemark.macro_of_test(test).split('.') -%}
    {{ return(context[parts[1]][parts[2]]) }}
{%- endmacro %}

{#- Whether its macro asks the adapter about its model, as for columns: the table as it will be is a query. -#}
{%- macro wants_a_relation(test) -%}
    {%- set parts, texts = tidemark.macro_of_test(test).split('.'), [] -%}
    {%- for name in [parts[2], 'default__' ~ parts[2]] if name in context[parts[1]] -%}
        {%- do texts.append(context[parts[1]][name].macro.macro_sql) -%}
    {%- endfor -%}
    {{ return(modules.re.search('adapter\\.(?!dispatch|quote)|model\\.|is_relation', texts | join) is not none) }}
{%- endmacro %}

{#- Whether a run may build a node, or what it reads, only after the model: the model does not wait for it. -#}
{%- macro may_be_built_after(id, node, built) -%}
    {%- set before, later = tidemark.ids_above([node.unique_id]), [] -%}
    {%- for above in tidemark.ids_above([id]) + [id] if above not in before and above in built -%}
        {%- do later.append(above) -%}
    {%- endfor -%}
    {{ return(later | length > 0) }}
{%- endmacro %}

{#- The columns of a model's partition. Who runs has said them; else its text does. -#}
{%- macro partition_columns(node) -%}
    {%- set state = graph.get('tidemark_states', {}).get(invocation_id ~ node.unique_id, {}) -%}
    {%- if state.get('entity') -%}
        {{ return({'entity': state.entity, 'day': state.day, 'session': state.get('session')}) }}
    {%- endif -%}
    {%- set found = {} -%}
    {%- set pattern = '\\b(entity|day|session|first)\\s*=\\s*[\'"](\\w+)[\'"]' -%}
    {%- for name, column in modules.re.findall(pattern, node.raw_code or '') -%}
        {%- do found.setdefault('day' if name == 'first' else name, column) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{#- run-operation: every data test, and when a build runs it. A parent counts as built in the same run. -#}
{%- macro audit_plan() -%}
    {%- set planned, built = [], graph.nodes.keys() | list -%}
    {%- for test in graph.nodes.values() if test.resource_type == 'test' -%}
        {%- do planned.append(tidemark.planned_test(test, built)) -%}
    {%- endfor -%}
    {%- do log('tidemark:audit_plan ' ~ tojson({'tests': planned | sort(attribute='test')})) -%}
{%- endmacro %}

{%- macro planned_tests(node) -%}
    {%- set planned, built = [], graph.nodes.keys() | list -%}
    {%- for test in tidemark.tests_of(node.unique_id) -%}
        {%- do planned.append(tidemark.planned_test(test, built)) -%}
    {%- endfor -%}
    {{ return(planned) }}
{%- endmacro %}

{%- macro planned_test(test, built) -%}
    {%- set node = graph.nodes.get(test.get('attached_node') or '', {}) -%}
    {%- set setting = tidemark.audit_setting(node) if node and tidemark.is_recorded(node) else none -%}
    {%- if not test.get('test_metadata') -%}
        {%- set verdict = {'when': 'after', 'reads': none, 'why': 'its own SQL reads what is published'} -%}
    {%- elif setting is none -%}
        {%- set what = 'raw rows, or a view of them' if test.attached_node else 'no model' -%}
        {%- set verdict = {'when': 'after', 'reads': none, 'why': what} -%}
    {%- elif node.config.materialized not in ('incremental', 'table') -%}
        {%- set verdict = {'when': 'after', 'reads': none, 'why': 'of a ' ~ node.config.materialized} -%}
    {%- elif setting != 'before' -%}
        {%- set verdict = {'when': 'after', 'reads': none, 'why': 'audit: ' ~ setting ~ ' of its model'} -%}
    {%- else -%}
        {%- set verdict = tidemark.audit_of(test, node, tidemark.partition_columns(node), built) -%}
    {%- endif -%}
    {{ return({
        'model': node.name or (test.get('file_key_name') or '').split('.') | last,
        'test': test.name,
        'package': test.package_name,
        'is_stored': node.get('config', {}).get('materialized') in ('incremental', 'table'),
        'when': verdict.when,
        'reads': verdict.reads,
        'why': verdict.why,
    }) }}
{%- endmacro %}

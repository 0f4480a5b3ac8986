{#- What a table is made by, besides raw rows: the text that a full refresh would run at a fixed clock, that of the
    views between it and its sources, what seeds hold, and the types of contracts. Its hash is the fingerprint.

    A model's text is rendered as if it were that model's turn, in whatever context asks: a build, a hook, the gate.
    What makes the difference stands in `context`, which is this node's own: threads share `graph`. -#}

{#- The fingerprint of a node of the graph, worked out once per command; none where nobody can know, as of rows that
    `--empty` and `--sample` leave out. -#}
{%- macro fingerprint(node) -%}
    {%- set known = graph.setdefault('tidemark_fingerprints' ~ invocation_id, {}) -%}
    {%- if node.unique_id not in known -%}
        {%- set texts = [] -%}
        {%- for part in tidemark.code_parts(node) -%}
            {%- do texts.append(part.text) -%}
        {%- endfor -%}
        {%- do known.update({node.unique_id: local_md5(tojson(texts))}) -%}
    {%- endif -%}
    {{ return(known[node.unique_id]) }}
{%- endmacro %}

{#- The parts that a fingerprint is made of, each with what of it counts; the node itself comes first. -#}
{%- macro code_parts(node) -%}
    {%- set parts = [] -%}
    {%- for id in tidemark.code_above(node) -%}
        {%- set part = graph.nodes.get(id) or graph.sources[id] -%}
        {%- if part.resource_type == 'source' -%}
            {%- set text = tojson([part.schema, part.identifier, tidemark.declared_types(part)]) -%}
        {%- elif part.resource_type == 'seed' -%}
            {%- set text = part.checksum.checksum -%}
        {%- else -%}
            {%- set text = tidemark.text_of_full_refresh(part) -%}
        {%- endif -%}
        {%- if id == node.unique_id -%}
            {%- set text = text ~ tidemark.text_of_config(node) -%}
        {%- endif -%}
        {%- do parts.append({'node': part, 'text': text}) -%}
    {%- endfor -%}
    {{ return(parts) }}
{%- endmacro %}

{#- The node, and what is above it up to raw tables and to stored ones, which have fingerprints of their own. Seeds that
    stand for raw tables are raw rows. -#}
{%- macro code_above(node) -%}
    {{ return([node.unique_id] + tidemark.ids_above([node.unique_id], takes=tidemark.is_code_of_others)) }}
{%- endmacro %}

{%- macro is_code_of_others(id) -%}
    {%- set node = graph.nodes.get(id) -%}
    {%- set is_stored = node and tidemark.is_recorded(node) and node.config.materialized != 'view' -%}
    {{ return(not is_stored and not tidemark.is_raw_seed(node) and (node or id in graph.sources)) }}
{%- endmacro %}

{%- macro is_raw_seed(node) -%}
    {%- set found = [] -%}
    {%- for source in (graph.sources.values() if node and node.resource_type == 'seed' else []) -%}
        {%- if (source.schema, source.identifier) == (node.schema, node.alias) and tidemark.is_watched(source) -%}
            {%- do found.append(source) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found | length > 0) }}
{%- endmacro %}

{%- macro declared_types(node) -%}
    {%- set types = {} -%}
    {%- for column in node.columns.values() if column.data_type -%}
        {%- do types.update({column.name: column.data_type | lower}) -%}
    {%- endfor -%}
    {{ return(types) }}
{%- endmacro %}

{#- What besides its text decides what is stored: the types of a contract, and what a snapshot compares. -#}
{%- macro text_of_config(node) -%}
    {%- set told = {} -%}
    {%- if node.config.get('contract', {}).get('enforced') -%}
        {%- do told.update({'types': tidemark.declared_types(node)}) -%}
    {%- endif -%}
    {%- for name in ['strategy', 'unique_key', 'check_cols', 'updated_at'] if node.resource_type == 'snapshot' -%}
        {%- do told.update({name: node.config.get(name)}) -%}
    {%- endfor -%}
    {{ return(tojson(told)) }}
{%- endmacro %}

{#- The text of a node that a full refresh would run, without what does not count: once per command. -#}
{%- macro text_of_full_refresh(node) -%}
    {%- set known = graph.setdefault('tidemark_texts' ~ invocation_id, {}) -%}
    {%- if node.unique_id not in known -%}
        {%- set fixed = modules.datetime.datetime(2000, 1, 1) -%}
        {%- set text = tidemark.rendered_in_full(node, tidemark.full_state(fixed, is_fixed=true)) -%}
        {%- do known.update({node.unique_id: tidemark.plain_sql(text)}) -%}
    {%- endif -%}
    {{ return(known[node.unique_id]) }}
{%- endmacro %}

{#- The state of a model that is made whole. At a fixed clock nothing was built and nothing pruned. -#}
{%- macro full_state(clock, is_fixed=false) -%}
    {{ return({
        'mode': 'full', 'since': none, 'window': none, 'known': clock, 'requests': none, 'is_fixed': is_fixed,
        'inlined': [],
    }) }}
{%- endmacro %}

{#- For a fingerprint names stand without database: a copy of production is the same table. `config(...)` says nothing
    while it renders. -#}
{%- macro rendered_in_full(node, state) -%}
    {%- set names = ['model', 'this', 'config', 'ref', 'source', 'is_incremental', 'tidemark_in_full'] -%}
    {%- set own = {} -%}
    {%- for name in names if name in context -%}
        {%- do own.update({name: context[name]}) -%}
    {%- endfor -%}
    {%- do context.update({
        'model': node,
        'this': tidemark.relation_in_full(node, state),
        'config': node.config,
        'ref': tidemark.ref_in_full,
        'source': tidemark.source_in_full,
        'is_incremental': tidemark.never,
        'tidemark_in_full': state,
    }) -%}
    {%- set code = modules.re.sub('(?<![.\\w])config\\s*\\(', 'tidemark.said_nothing(', node.raw_code) -%}
    {%- set text = render(code) -%}
    {%- for name in names -%}
        {%- do context.update({name: own[name]}) if name in own else context.pop(name) -%}
    {%- endfor -%}
    {{ return(text) }}
{%- endmacro %}

{#- Whether a text is rendered as a full refresh would run it, and whether for a fingerprint. -#}
{%- macro is_in_full() -%}
    {{ return('tidemark_in_full' in context) }}
{%- endmacro %}

{%- macro is_at_fixed_clock() -%}
    {{ return(context.get('tidemark_in_full', {}).get('is_fixed', false)) }}
{%- endmacro %}

{%- macro relation_in_full(node, state) -%}
    {%- if node.unique_id in state.inlined -%}
        {{ return(api.Relation.create(identifier=tidemark.inlined_name(node)).quote(identifier=false)) }}
    {%- endif -%}
    {%- set relation = tidemark.relation_of(node) -%}
    {{ return(relation.include(database=false) if state.is_fixed else relation) }}
{%- endmacro %}

{#- As dbt calls what it writes into a query. -#}
{%- macro inlined_name(node) -%}
    {{ return('__dbt__cte__' ~ node.name) }}
{%- endmacro %}

{%- macro never() -%}
    {{ return(false) }}
{%- endmacro %}

{%- macro said_nothing() -%}
    {%- set ignored = (varargs, kwargs) -%}
    {{ return('') }}
{%- endmacro %}

{#- dbt's own would refuse what the node of its context does not depend on, and limits rows for --empty. -#}
{%- macro ref_in_full(name, second=none, version=none, v=none) -%}
    {%- set wanted, package, of_version = second or name, name if second else none, version or v -%}
    {%- set found = [] -%}
    {%- for id in model.depends_on.nodes if id in graph.nodes and graph.nodes[id].name == wanted -%}
        {%- set node = graph.nodes[id] -%}
        {%- set is_version = of_version is none or node.get('version') | string == of_version | string -%}
        {%- if is_version and (package is none or node.package_name == package) -%}
            {%- do found.append(node) -%}
        {%- endif -%}
    {%- endfor -%}
    {#- one that only macros refer to is not named among what the node depends on -#}
    {%- set node = found | first or tidemark.model_named(wanted) -%}
    {{ return(tidemark.relation_in_full(node, context['tidemark_in_full']) if node else wanted) }}
{%- endmacro %}

{%- macro source_in_full(source_name, name) -%}
    {%- for source in graph.sources.values() if source.source_name == source_name and source.name == name -%}
        {{ return(tidemark.relation_in_full(source, context['tidemark_in_full'])) }}
    {%- endfor -%}
    {{ return(source_name ~ '.' ~ name) }}
{%- endmacro %}

{#- SQL without comments, white space, the case of keywords and the name of the database; texts and quoted names are
    left as they are. -#}
{%- macro plain_sql(sql) -%}
    {%- set literal = tidemark.literal_pattern() -%}
    {%- set without_comments = modules.re.sub('(' ~ literal ~ ')|--[^\\n]*|/\\*[\\s\\S]*?\\*/', '\\1 ', sql) -%}
    {%- set name = modules.re.escape(target.database or '') -%}
    {%- set of_database = '(?i)(?<![\\w."])(?:' ~ name ~ '|"' ~ name ~ '")\\s*[.](?=\\s*["\\w]+\\s*[.])' -%}
    {%- set sql = modules.re.sub(of_database, '', without_comments) if name else without_comments -%}
    {%- set pieces = [] -%}
    {%- for piece in modules.re.split('(' ~ literal ~ ')', sql) -%}
        {%- if loop.index is even -%}
            {%- do pieces.append(piece) -%}
        {%- else -%}
            {%- set words = piece.lower().split() | join(' ') -%}
            {%- do pieces.append(modules.re.sub(' ?([^\\w ]) ?', '\\1', words)) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(pieces | join('\n')) }}
{%- endmacro %}

{#- A copy for readers: DuckDB gives its file to one process. The command line renames it when it is whole. -#}

{#- run-operation: copies what people read into a DuckDB file, a folder of Parquet, or both. Views are copied as what
    they show: they may read what is not copied, and another version of DuckDB. Reports what it copied, and the file
    that it read. -#}
{%- macro publish(path=none, folder=none) -%}
    {%- set path = tidemark.text_argument('path', path, is_optional=true) -%}
    {%- set folder = tidemark.text_argument('folder', folder, is_optional=true) -%}
    {%- set relations, copies = tidemark.published_relations(), {} -%}
    {%- if path -%}
        {%- do run_query(tidemark.attach_copy(path)) -%}
        {%- set schemas, statements = {}, [] -%}
        {%- for relation in relations -%}
            {%- set copy = relation.incorporate(path={'database': tidemark.published_database()}) -%}
            {%- do copies.update({relation | string: copy}) -%}
            {%- do schemas.update({copy.without_identifier() | string: true}) -%}
            {%- do statements.append('create table ' ~ copy ~ ' as select * from ' ~ relation) -%}
        {%- endfor -%}
        {%- for schema in schemas -%}
            {%- do statements.insert(0, 'create schema ' ~ schema) -%}
        {%- endfor -%}
        {%- do tidemark.write_down(statements) -%}
    {%- endif -%}
    {%- set ops = tidemark.setting('ops_schema') -%}
    {%- for relation in relations if folder and relation.schema != ops -%}
        {%- set file = folder ~ '/' ~ relation.identifier ~ '.parquet' -%}
        {%- set rows = copies.get(relation | string, relation) -%}
        {%- set to = tidemark.text_literal(file) ~ ' (format parquet, compression zstd)' -%}
        {%- do run_query('copy ' ~ rows ~ ' to ' ~ to) -%}
    {%- endfor -%}
    {%- if path -%}
        {#- without it the last rows would lie in a log beside the file -#}
        {%- do run_query('checkpoint ' ~ tidemark.published_database()) -%}
        {%- do run_query('detach ' ~ tidemark.published_database()) -%}
    {%- endif -%}
    {%- do log('tidemark:published ' ~ tojson({'relations': relations | length, 'warehouse': target.path})) -%}
{%- endmacro %}

{%- macro published_database() -%}
    {{ return('tidemark_published') }}
{%- endmacro %}

{#- In the oldest format that has all of it in half the time: readers bring their own DuckDB, and it may be older. -#}
{%- macro attach_copy(path) -%}
    {{ return(
        'attach ' ~ tidemark.text_literal(path) ~ ' as ' ~ tidemark.published_database() ~ " (storage_version 'v1.4.0')"
    ) }}
{%- endmacro %}

{#- Those that are there: recorded models and what is built on them, and all of ops but the bad rows. These are a look
    at all raw tables, which costs as much and fails with any of them; pipeline_health counts them. Where a project
    calls models public, only these are; else all that are not private. Snapshots know no such word. -#}
{%- macro published_relations() -%}
    {%- set wanted, ops, found = {}, tidemark.setting('ops_schema'), [] -%}
    {%- set models = graph.nodes.values() | selectattr('resource_type', 'equalto', 'model') -%}
    {%- set hidden = ['private', 'protected'] if 'public' in models | map(attribute='access') else ['private'] -%}
    {%- for node in graph.nodes.values() if node.resource_type in ('model', 'snapshot') -%}
        {%- if node.access not in hidden and tidemark.is_recorded_or_above(node.unique_id) -%}
            {%- do wanted.update({(node.schema, node.alias): node.package_name != 'tidemark'}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set sql -%}
        select table_schema, table_name from information_schema.tables
        where table_catalog = {{ tidemark.text_literal(target.database) }} and table_type <> 'LOCAL TEMPORARY'
        order by table_schema, table_name
    {%- endset -%}
    {%- for row in run_query(sql).rows -%}
        {%- if wanted.get((row[0], row[1])) or (row[0] == ops and row[1] != 'quarantined_rows') -%}
            {%- do found.append(api.Relation.create(target.database, row[0], row[1])) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{#- Whether a node is recorded, or a recorded one stands above it. -#}
{%- macro is_recorded_or_above(unique_id) -%}
    {%- for id in [unique_id] + tidemark.ids_above([unique_id]) if id in graph.nodes -%}
        {%- if tidemark.is_recorded(graph.nodes[id]) -%}
            {{ return(true) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(false) }}
{%- endmacro %}

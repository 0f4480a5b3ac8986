{#- Where loaders write: the raw tables, with the columns that the sources' YAML gives them. -#}

{#- DDL that makes a raw table, unless it is there. -#}
{%- macro raw_table_ddl(source) -%}
    {%- set relation = api.Relation.create(source.database, source.schema, source.identifier) -%}
    create table if not exists {{ relation }} (
    {%- for column in source.columns.values() %}
        {{ column.name }} {{ column.data_type }}{{ ',' if not loop.last }}
    {%- endfor %}
    )
{%- endmacro %}

{#- run-operation: makes what loaders need, or with `dry_run` says what that is. On DuckDB that is the schema and the raw
    tables, empty. What is there stays as it is. -#}
{%- macro create_landing(dry_run=false) -%}
    {%- set ddl = landing_ddl() -%}
    {%- if dry_run -%}
        {%- do print(ddl) -%}
    {%- else -%}
        {%- do write_down(ddl) -%}
    {%- endif -%}
{%- endmacro %}

{#- All raw tables of the domains that are switched on, and their schema. -#}
{%- macro raw_tables_ddl() -%}
    create schema if not exists {{ raw_schema() }};
    {%- for source in graph.sources.values() | selectattr('source_name', 'equalto', 'raw') | sort(attribute='name') %}

    {{ raw_table_ddl(source) }};
    {%- endfor %}
{%- endmacro %}

{%- macro raw_schema() -%}
    {%- set schema = api.Relation.create(database=var('raw_database') or target.database, schema=var('raw_schema')) -%}
    {{ return(schema.include(identifier=false)) }}
{%- endmacro %}

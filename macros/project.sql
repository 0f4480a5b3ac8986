{#- On target `demo` the seeds are the raw tables. The edge from seed to source makes one `dbt build` enough. -#}
{%- macro source(source_name, table_name) -%}
    {%- if target.name == 'demo' and source_name == 'raw' -%}
        {%- do ref(table_name) -%}
    {%- endif -%}
    {{ return(builtins.source(source_name, table_name)) }}
{%- endmacro %}

{#- Schemas are named as they are: raw, staging, marts, ops. No prefix of the target. -#}
{%- macro generate_schema_name(custom_schema_name, node) -%}
    {{ return(custom_schema_name or target.schema) }}
{%- endmacro %}

{#- What a staging view is where there is no raw table for it: its columns, without rows. -#}
{%- macro no_rows(columns) -%}
    select
    {%- for name, type in columns.items() %}
        cast(null as {{ type }}) as {{ name }}{{ ',' if not loop.last }}
    {%- endfor %}
    where false
{%- endmacro %}

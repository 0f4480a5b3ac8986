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

{#- A business rule that is a number, as dbt_project.yml or who calls says it. -#}
{%- macro rule(name) -%}
    {{ return(tidemark.number_argument('var ' ~ name, var(name), 1, 100000)) }}
{%- endmacro %}

{#- Predicate: so much use makes a company's day an active one. -#}
{%- macro is_active_day(users, events) -%}
    {%- set conditions = [] -%}
    {%- for column, name in [(users, 'active_day_users'), (events, 'active_day_events')] if var(name) is not none -%}
        {%- do conditions.append(column ~ ' >= ' ~ rule(name)) -%}
    {%- endfor -%}
    {%- if not conditions -%}
        {{ exceptions.raise_compiler_error(
            'The vars active_day_users and active_day_events are both null: no day would be active. Give one of them.'
        ) }}
    {%- endif -%}
    {{ return('(' ~ conditions | join(' or ') ~ ')') }}
{%- endmacro %}

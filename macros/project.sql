{#- Schemas are named as they are: raw, staging, marts, ops. No prefix of the target. -#}
{%- macro generate_schema_name(custom_schema_name, node) -%}
    {{ return(custom_schema_name or target.schema) }}
{%- endmacro %}

{#- The relation of a model or a source of the graph. -#}
{%- macro relation_of(node) -%}
    {{ return(api.Relation.create(node.database, node.schema, node.alias or node.identifier)) }}
{%- endmacro %}

{#- The staging view of a raw table, if it describes this column and was built. -#}
{%- macro staged_view(source, having) -%}
    {%- set staged = graph.nodes.get('model.' ~ project_name ~ '.stg_' ~ source.name) -%}
    {{ return(load_relation(relation_of(staged)) if staged and having in staged.columns else none) }}
{%- endmacro %}

{#- On target `demo` the seeds are the raw tables. The edge from seed to source makes one `dbt build` enough. -#}
{%- macro source(source_name, table_name) -%}
    {%- if target.name == 'demo' and source_name == 'raw' -%}
        {%- do ref(table_name) -%}
    {%- endif -%}
    {{ return(builtins.source(source_name, table_name)) }}
{%- endmacro %}

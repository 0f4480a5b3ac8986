{#- The relation of a model or a source of the graph. -#}
{%- macro relation_of(node) -%}
    {{ return(api.Relation.create(node.database, node.schema, node.alias or node.identifier)) }}
{%- endmacro %}

{#- The staging view of a raw table: the view that reads it, if it describes this column and was built. -#}
{%- macro staged_view(source, having) -%}
    {%- set models = graph.nodes.values() | selectattr('resource_type', 'equalto', 'model') -%}
    {%- for node in models if source.unique_id in node.depends_on.nodes -%}
        {%- if node.config.materialized == 'view' and having in node.columns -%}
            {{ return(load_relation(tidemark.relation_of(node))) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(none) }}
{%- endmacro %}

{#- A model of the graph by its name, whatever package it is of; none where there is none. -#}
{%- macro model_named(name) -%}
    {{ return(
        graph.nodes.values() | selectattr('resource_type', 'equalto', 'model') | selectattr('name', 'equalto', name)
        | first | default(none)
    ) }}
{%- endmacro %}

{#- A source that freshness and change detection go by: one that says when its rows were loaded. -#}
{%- macro is_watched(source) -%}
    {{ return(source.loaded_at_field is not none and source.package_name != 'tidemark') }}
{%- endmacro %}

{#- Schemas of the engine's own views; that of a project's models is the project's. -#}
{%- macro generate_schema_name(custom_schema_name, node) -%}
    {{ return(tidemark.setting('ops_schema')) }}
{%- endmacro %}

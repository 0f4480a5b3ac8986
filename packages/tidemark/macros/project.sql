{#- The relation of a model or a source of the graph. -#}
{%- macro relation_of(node) -%}
    {{ return(api.Relation.create(node.database, node.schema, node.alias or node.identifier)) }}
{%- endmacro %}

{#- The staging view of a raw table, if it describes this column and was built. -#}
{%- macro staged_view(source, having) -%}
    {%- set staged = graph.nodes.get('model.' ~ project_name ~ '.stg_' ~ source.name) -%}
    {{ return(load_relation(tidemark.relation_of(staged)) if staged and having in staged.columns else none) }}
{%- endmacro %}

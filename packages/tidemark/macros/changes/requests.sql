{#- Partitions that somebody asked to be recomputed. -#}

{#- What someone asked to be recomputed, as further rows of (entity, day). Coverage asks for the very partitions that it
    found; others for what raw rows of that day make, which may reach further. -#}
{%- macro requested_keys(entity, condition='true') -%}
    {%- if is_incremental() and tidemark.run_state().requests %}
    union all
    {{ tidemark.requests_of(entity, condition) }}
    {%- endif %}
{%- endmacro %}

{%- macro requests_of(entity, condition='true') -%}
    select
        try_cast(entity as {{ tidemark.stored_type(entity) }}) as {{ entity }},
        day
    from {{ tidemark.ops_table('requested_partitions') }}
    where {{ tidemark.is_requested() }} and coalesce({{ condition }}, true)
{%- endmacro %}

{#- The requests that this run takes on: not those that are made while it runs. -#}
{%- macro is_requested() -%}
    model_name = '{{ model.name }}'
    and done_at is null
    and requested_at <= {{ tidemark.timestamp_literal(tidemark.run_state().requests.until) }}
{%- endmacro %}

{#- Requests and changed keys name entities as text; the table knows their type. -#}
{%- macro stored_type(column) -%}
    {%- set names = [] -%}
    {%- for stored in adapter.get_columns_in_relation(this) if stored.name | lower == column -%}
        {%- do names.append(stored.dtype) -%}
    {%- endfor -%}
    {{ return(names[0]) }}
{%- endmacro %}

{#- Who is built on whom. -#}

{#- The ids above some others, each once, nearest first. `takes` and `through` are macros of an id, or none for all:
    what stands above is walked through where the one takes it, and further up where the other lets pass. -#}
{%- macro ids_above(ids, takes=none, through=none) -%}
    {%- set walked = ids | list -%}
    {%- for id in walked if id in graph.nodes and (through is none or through(id)) -%}
        {%- for parent in graph.nodes[id].depends_on.get('nodes', []) | sort if parent not in walked -%}
            {#- the loop goes on over what it appends -#}
            {%- do walked.append(parent) if takes is none or takes(parent) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(walked[ids | length:]) }}
{%- endmacro %}

{#- The ids of the tables of sessions that a model is built on. -#}
{%- macro session_tables_above(node) -%}
    {%- set ids, is_incremental_model = [], node.config.materialized == 'incremental' -%}
    {%- for id in node.depends_on.nodes if is_incremental_model and id in graph.nodes -%}
        {%- if graph.nodes[id].config.incremental_strategy == 'sessions' -%}
            {%- do ids.append(id) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(ids) }}
{%- endmacro %}

{#- Their names, by which the ledger and ops.changed_keys know them. -#}
{%- macro session_tables(node) -%}
    {%- set names = [] -%}
    {%- for id in tidemark.session_tables_above(node) -%}
        {%- do names.append(graph.nodes[id].name) -%}
    {%- endfor -%}
    {{ return(names) }}
{%- endmacro %}

{#- The nodes that leave a row in the ledger: models with one of our strategies, snapshots of watched sources, and what
    says so in its meta, as views do that are judged on their own. -#}
{%- macro is_recorded(node) -%}
    {%- set told = (node.config.get('meta') or {}).get('is_recorded') -%}
    {%- if node.resource_type not in ('model', 'snapshot') or told is not none -%}
        {{ return(node.resource_type in ('model', 'snapshot') and told) }}
    {%- elif node.resource_type == 'snapshot' -%}
        {{ return(tidemark.sources_above(node.unique_id) | length > 0) }}
    {%- endif -%}
    {%- set is_ours = node.config.get('incremental_strategy') in tidemark.strategies() -%}
    {{ return(node.config.materialized == 'incremental' and is_ours) }}
{%- endmacro %}

{#- The raw tables that a node reads, over any number of models: those that change detection goes by. -#}
{%- macro sources_above(unique_id) -%}
    {%- set found = [] -%}
    {%- for source in tidemark.all_sources_above(unique_id) if tidemark.is_watched(source) -%}
        {%- do found.append(source) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{%- macro all_sources_above(unique_id) -%}
    {%- set found = [] -%}
    {%- for id in tidemark.ids_above([unique_id]) if id in graph.sources -%}
        {%- do found.append(graph.sources[id]) -%}
    {%- endfor -%}
    {{ return(found | sort(attribute='name')) }}
{%- endmacro %}

{#- The tables that are kept by increments, by name. -#}
{%- macro stored_tables() -%}
    {%- set tables = {} -%}
    {%- for node in graph.nodes.values() if tidemark.is_recorded(node) and node.config.materialized == 'incremental' -%}
        {%- do tables.update({node.name: node}) -%}
    {%- endfor -%}
    {{ return(tables) }}
{%- endmacro %}

{#- What a model belongs to: its meta `domain`, else its folder. -#}
{%- macro domain_of(node) -%}
    {{ return((node.config.get('meta') or {}).get('domain') or node.fqn[-2]) }}
{%- endmacro %}

{#- The stored marts that a mart is built on, over any number of views: what is wrong there may look wrong here. -#}
{%- macro built_on(node) -%}
    {%- set names = [] -%}
    {%- for id in tidemark.ids_above([node.unique_id]) if id in graph.nodes -%}
        {%- do names.append(graph.nodes[id].name) if graph.nodes[id].config.materialized == 'incremental' -%}
    {%- endfor -%}
    {{ return(names | sort) }}
{%- endmacro %}

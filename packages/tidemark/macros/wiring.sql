{#- What dbt lets only the root project say. What is missing of it would be missed without a word: a table that stays
    incremental although the ledger has lost it, a model that nobody records. So each run looks before it begins. -#}

{#- The version of what `tidemark init` writes into a project's macros/tidemark.sql. -#}
{%- macro wiring_version() -%}
    {{ return(1) }}
{%- endmacro %}

{#- What the macros and the command line say to each other: tidemark/lineage.py has the same number. It rises with every
    change of an operation's arguments or of what a macro reports. -#}
{%- macro interface_version() -%}
    {{ return(1) }}
{%- endmacro %}

{%- macro strategies() -%}
    {{ return(['partitions', 'replay', 'sessions', 'full']) }}
{%- endmacro %}

{#- Stops with all that is missing, and what to write where. -#}
{%- macro refuse_incomplete_wiring() -%}
    {%- set missing = tidemark.missing_wrappers() + tidemark.missing_dispatch() -%}
    {%- for node in graph.nodes.values() if tidemark.is_recorded(node) -%}
        {%- do missing.extend(tidemark.missing_of(node)) -%}
    {%- endfor -%}
    {%- if missing -%}
        {{ exceptions.raise_compiler_error(
            'The engine is not wired up. Nothing was touched.\n- ' ~ missing | join('\n- ')
            ~ '\n`tidemark init` writes what can be written; packages/tidemark/README.md has all of it.'
        ) }}
    {%- endif -%}
{%- endmacro %}

{%- macro missing_wrappers() -%}
    {%- set names = ['should_full_refresh', 'drop_relation_if_exists'] -%}
    {%- for strategy in tidemark.strategies() -%}
        {%- do names.append('get_incremental_' ~ strategy ~ '_sql') -%}
    {%- endfor -%}
    {%- set root, missing = context.get(project_name, {}), [] -%}
    {%- for name in names if name not in root -%}
        {%- do missing.append(
            'macros/tidemark.sql does not define ' ~ name ~ ', which dbt looks up in ' ~ project_name ~ ' alone.'
        ) -%}
    {%- endfor -%}
    {%- set wired = root['tidemark_wiring']() | int if 'tidemark_wiring' in root else 0 -%}
    {%- if not missing and wired != tidemark.wiring_version() -%}
        {%- do missing.append(
            'macros/tidemark.sql is of version ' ~ wired ~ ', and the package wants version '
            ~ tidemark.wiring_version() ~ ': delete the file, and run `tidemark init`.'
        ) -%}
    {%- endif -%}
    {{ return(missing) }}
{%- endmacro %}

{%- macro missing_dispatch() -%}
    {%- set answering = adapter.dispatch('create_table_as', 'dbt').macro.package_name -%}
    {{ return([] if answering in ('tidemark', project_name) else [
        'dbt_project.yml does not let the package answer for dbt: dispatch: [{macro_namespace: dbt, search_order: ['
        ~ project_name ~ ', tidemark, dbt]}].'
    ]) }}
{%- endmacro %}

{#- What a model or a snapshot that is to be recorded lacks. -#}
{%- macro missing_of(node) -%}
    {%- set missing, kind = [], node.resource_type ~ 's' -%}
    {%- for hook, macro in {'pre-hook': 'begin_run', 'post-hook': 'record_run'}.items() -%}
        {%- if macro not in node.config[hook] | string -%}
            {%- do missing.append(
                node.name ~ ' has no ' ~ hook ~ ' `tidemark.' ~ macro ~ '()`. dbt_project.yml: ' ~ kind ~ ': {'
                ~ node.package_name ~ ': {+' ~ hook ~ ': "{{ tidemark.' ~ macro ~ '() }}"}}.'
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if not tidemark.sources_above(node.unique_id) -%}
        {%- do missing.append(
            'No source above ' ~ node.name ~ ' has a loaded_at_field: nobody could tell when it has something to do. '
            ~ 'Name the column with the load time in the sources of its YAML: config: {loaded_at_field: ...}.'
        ) -%}
    {%- endif -%}
    {{ return(missing) }}
{%- endmacro %}

{#- What dbt lets only the root project say. What is missing of it would be missed without a word: a table that stays
    incremental although the ledger has lost it, a model that nobody records. So each run looks before it begins. -#}

{#- The version of what `tidemark init` writes into a project's macros/tidemark.sql. -#}
{%- macro wiring_version() -%}
    {{ return(1) }}
{%- endmacro %}

{#- What the macros and the command line say to each other: tidemark/lineage.py has the same number. It rises with every
    change of an operation's arguments or of what a macro reports. -#}
{%- macro interface_version() -%}
    {{ return(4) }}
{%- endmacro %}

{%- macro strategies() -%}
    {{ return(['partitions', 'replay', 'sessions', 'full']) }}
{%- endmacro %}

{#- Stops with all that is missing, and what to write where: a line for each thing, however many models lack it. -#}
{%- macro refuse_incomplete_wiring() -%}
    {%- set missing = tidemark.missing_wrappers() + tidemark.missing_dispatch() + tidemark.shared_names() -%}
    {%- set lacking = {} -%}
    {%- for node in graph.nodes.values() -%}
        {%- set is_recorded = tidemark.is_recorded(node) -%}
        {%- for thing in (tidemark.missing_of(node) if is_recorded else tidemark.missing_strategy(node)) -%}
            {%- do lacking.setdefault(thing, []).append(node.name) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for thing, names in lacking.items() -%}
        {%- do missing.append(thing | replace('THESE', names | sort | join(', '))) -%}
    {%- endfor -%}
    {%- for view in tidemark.staging_views() -%}
        {%- do missing.extend(tidemark.missing_version(view)) -%}
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
    {%- for name in names -%}
        {%- if name not in root -%}
            {%- do missing.append(
                'macros/tidemark.sql does not define ' ~ name ~ ', which dbt looks up in ' ~ project_name ~ ' alone.'
            ) -%}
        {%- elif 'tidemark.' ~ name not in root[name].macro.macro_sql -%}
            {%- do missing.append(
                'The macro ' ~ name ~ ' of ' ~ project_name ~ ' does not call tidemark.' ~ name ~ '.'
            ) -%}
        {%- endif -%}
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

{#- What a model or a snapshot that is to be recorded lacks; THESE stands for the names of all that lack it. -#}
{%- macro missing_of(node) -%}
    {%- set missing, kind = [], node.resource_type ~ 's' -%}
    {%- for hook, macro in {'pre-hook': 'begin_run', 'post-hook': 'record_run'}.items() -%}
        {%- if 'tidemark.' ~ macro not in node.config[hook] | string -%}
            {%- do missing.append(
                'No ' ~ hook ~ ' `tidemark.' ~ macro ~ '()` around the ' ~ kind ~ ' THESE. dbt_project.yml: '
                ~ kind ~ ': {' ~ node.package_name ~ ': {+' ~ hook ~ ': "{{ tidemark.' ~ macro ~ '() }}"}}.'
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set watched, forgotten = [], [] -%}
    {%- for source in tidemark.all_sources_above(node.unique_id) -%}
        {%- do (watched if tidemark.is_watched(source) else forgotten).append(source) -%}
    {%- endfor -%}
    {%- if not watched -%}
        {%- do missing.append(
            'No source with a loaded_at_field above THESE: nobody could tell when there is something to do. '
            ~ 'Name the column with the load time in the YAML of the source: config: {loaded_at_field: ...}.'
        ) -%}
    {%- else -%}
        {%- for source in forgotten if tidemark.is_forgotten(source) -%}
            {%- do missing.append(
                'No loaded_at_field of the source ' ~ source.source_name ~ '.' ~ source.name ~ ' above THESE: what '
                ~ 'arrives there would be overlooked. Name the column with its load time, or say that its rows '
                ~ 'never change: config: {meta: {is_watched: false}}.'
            ) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(missing) }}
{%- endmacro %}

{#- Neither a load time, nor a word that none is needed. -#}
{%- macro is_forgotten(source) -%}
    {{ return(
        source.package_name != 'tidemark' and source.loaded_at_field is none
        and (source.config.get('meta') or {}).get('is_watched') is none
    ) }}
{%- endmacro %}

{#- A model that asks what was touched, and then is not replaced by that. -#}
{%- macro missing_strategy(node) -%}
    {%- set missing = [] -%}
    {%- if node.resource_type == 'model' and node.config.materialized == 'incremental' -%}
        {%- for name in ['touched_partitions', 'touched_sessions', 'changed_partitions', 'replay_from'] -%}
            {%- if 'macro.tidemark.' ~ name in node.depends_on.macros -%}
                {%- do missing.append(
                    'The incremental_strategy of THESE is ' ~ node.config.incremental_strategy ~ ', and tidemark.'
                    ~ name ~ ' is called there: it wants one of ' ~ tidemark.strategies() | join(', ') ~ '.'
                ) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(missing) }}
{%- endmacro %}

{#- The views that a recorded node reads, and that read a watched source themselves. -#}
{%- macro staging_views() -%}
    {%- set views = {} -%}
    {%- for node in graph.nodes.values() if tidemark.is_recorded(node) -%}
        {%- for id in node.depends_on.nodes if id in graph.nodes -%}
            {%- set parent = graph.nodes[id] -%}
            {%- for above in parent.depends_on.nodes if parent.config.materialized in ('view', 'ephemeral') -%}
                {%- if above in graph.sources and tidemark.is_watched(graph.sources[above]) -%}
                    {%- do views.update({id: parent}) -%}
                {%- endif -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(views.values() | list) }}
{%- endmacro %}

{#- Without it the versions of a row would count as rows, and its bad rows would be nowhere. -#}
{%- macro missing_version(view) -%}
    {%- set version = tidemark.setting('versions').get(view.name, {}) -%}
    {{ return([] if version.get('identity') or version.get('key') else [
        'dbt_project.yml does not say what identifies a row of ' ~ view.name ~ ': vars: {versions: {' ~ view.name
        ~ ': {identity: [...], ties: [...]}}}.'
    ]) }}
{%- endmacro %}

{#- The ledger and the gate know things by their names alone. -#}
{%- macro shared_names() -%}
    {%- set missing, seen = [], {} -%}
    {%- for source in graph.sources.values() if tidemark.is_watched(source) -%}
        {%- set what = 'sources with a loaded_at_field are called ' ~ source.name -%}
        {%- do seen.setdefault(what, []).append(source.unique_id) -%}
    {%- endfor -%}
    {%- for node in graph.nodes.values() if tidemark.is_recorded(node) -%}
        {%- do seen.setdefault('models or snapshots are called ' ~ node.name, []).append(node.unique_id) -%}
    {%- endfor -%}
    {%- for what, ids in seen.items() if ids | length > 1 -%}
        {%- do missing.append(
            'Several ' ~ what ~ ', by which the ledger knows them: ' ~ ids | sort | join(', ')
            ~ '. Give one another name; a table keeps its own with `identifier` or `alias`.'
        ) -%}
    {%- endfor -%}
    {{ return(missing) }}
{%- endmacro %}

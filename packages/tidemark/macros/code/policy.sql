{#- What happens when the code of a table is not what it was made by. Only a table that is made whole takes the new
    fingerprint: an increment leaves the one that it finds, marked, and so the difference stays to be seen. -#}

{#- rebuild, hold or keep: meta of the node or its folder, else the setting. Nothing rebuilds a snapshot. -#}
{%- macro on_code_change(node) -%}
    {%- set told = (node.config.get('meta') or {}).get('on_code_change') or tidemark.setting('on_code_change') -%}
    {%- if told not in ['rebuild', 'hold', 'keep'] -%}
        {{ exceptions.raise_compiler_error(
            'on_code_change of ' ~ node.name ~ ' is ' ~ told ~ ': it may be rebuild, hold or keep. Nothing was touched.'
        ) }}
    {%- endif -%}
    {{ return(told if node.resource_type == 'model' else 'keep') }}
{%- endmacro %}

{#- Whether other code made the table. An earlier version of the ledger knew the checksum of the model's file: where
    that has not changed, the table is taken for one of the code that is there. -#}
{%- macro has_other_code(node) -%}
    {%- set stored = tidemark.ledger_state().jobs.get(node.name, {}).get('fingerprint') -%}
    {%- set is_partial = invocation_args_dict.get('empty') or invocation_args_dict.get('sample') -%}
    {%- if is_partial or not stored or stored == node.checksum.checksum -%}
        {{ return(false) }}
    {%- endif -%}
    {{ return(stored != tidemark.fingerprint(node)) }}
{%- endmacro %}

{%- macro is_rebuilt_for_code(node) -%}
    {{ return(tidemark.on_code_change(node) == 'rebuild' and tidemark.has_other_code(node)) }}
{%- endmacro %}

{#- Before the first statement of a build: a held table waits until somebody has it rebuilt. -#}
{%- macro refuse_held(node) -%}
    {%- if tidemark.on_code_change(node) == 'hold' and not flags.FULL_REFRESH and tidemark.has_other_code(node) -%}
        {%- do graph.setdefault('tidemark_held' ~ invocation_id, {}).update({node.unique_id: true}) -%}
        {{ exceptions.raise_compiler_error(
            node.name ~ ' is held: other code made it (' ~ tidemark.differences_in_words(node) ~ '). Nothing of it was '
            ~ 'touched. Look at it: tidemark plan. Rebuild it: tidemark plan --apply, or dbt build --full-refresh '
            ~ '--select ' ~ node.name ~ '.'
        ) }}
    {%- endif -%}
{%- endmacro %}

{%- macro was_held(node) -%}
    {{ return(node.unique_id in graph.get('tidemark_held' ~ invocation_id, {})) }}
{%- endmacro %}

{#- The fingerprint that a success leaves. Where an increment wrote rows of other code, it is one that no code has: the
    table would be a mixture also if the code that made it came back. -#}
{%- macro fingerprint_to_store(state) -%}
    {%- set node = graph.nodes[model.unique_id] -%}
    {%- set stored = tidemark.ledger_state().jobs.get(node.name, {}).get('fingerprint') -%}
    {%- if invocation_args_dict.get('empty') or invocation_args_dict.get('sample') -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set is_made_whole = node.resource_type == 'model' and state.mode == 'full' -%}
    {%- set is_taken_over = not stored or stored == node.checksum.checksum -%}
    {%- if is_made_whole or is_taken_over -%}
        {{ return(tidemark.fingerprint(node)) }}
    {%- endif -%}
    {%- set is_mixture = node.resource_type == 'model' and tidemark.has_other_code(node) -%}
    {{ return(tidemark.first_fingerprint(stored) ~ '+' if is_mixture else stored) }}
{%- endmacro %}

{#- Of a mixture, the fingerprint of the code that made the table whole. -#}
{%- macro first_fingerprint(stored) -%}
    {{ return(stored.split('+')[0]) }}
{%- endmacro %}

{#- Whether increments of other code wrote into the table since it was made whole. -#}
{%- macro is_mixture(node) -%}
    {{ return('+' in (tidemark.ledger_state().jobs.get(node.name, {}).get('fingerprint') or '')) }}
{%- endmacro %}

{#- From which day on a table that keeps days without raw rows follows its fingerprint: those before follow older code.
    -#}
{%- macro older_code_before(state) -%}
    {%- set node = graph.nodes[model.unique_id] -%}
    {%- set known = tidemark.ledger_state().jobs.get(node.name, {}).get('metadata', {}).get('older_code_before') -%}
    {%- set is_stored_model = node.resource_type == 'model' and node.config.materialized == 'incremental' -%}
    {%- if is_stored_model and state.mode == 'full' and tidemark.has_other_code(node) -%}
        {%- set floor = tidemark.retention_floor(node) -%}
        {{ return(floor | string if floor else known) }}
    {%- endif -%}
    {{ return(known) }}
{%- endmacro %}

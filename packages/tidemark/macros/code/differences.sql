{#- Why a fingerprint differs. The code that made a table is kept beside the ledger, part by part, once for each
    fingerprint: so what differs can be named by file and line. -#}

{#- The parts of a node's code as they are written down: files as they stand, macros, and settings by their values. -#}
{%- macro code_rows(node) -%}
    {%- set rows, texts = [], [] -%}
    {%- for part in tidemark.code_parts(node) -%}
        {%- set kind = part.node.resource_type -%}
        {%- set code = part.node.raw_code if kind in ('model', 'snapshot') else part.text -%}
        {%- do rows.append({
            'part': part.node.name,
            'kind': kind,
            'path': part.node.original_file_path,
            'rendered': local_md5(part.text),
            'code': code,
        }) -%}
        {%- do texts.append(code) -%}
    {%- endfor -%}
    {%- for macro in tidemark.macros_below(tidemark.code_above(node)) -%}
        {%- do rows.append({
            'part': macro.name, 'kind': 'macro', 'path': macro.original_file_path, 'rendered': none,
            'code': macro.macro_sql,
        }) -%}
        {%- do texts.append(macro.macro_sql) -%}
    {%- endfor -%}
    {%- for name, value in tidemark.settings_in(texts, rows | map(attribute='part')).items() -%}
        {%- do rows.append({
            'part': name, 'kind': 'setting', 'path': 'dbt_project.yml', 'rendered': none, 'code': tojson(value),
        }) -%}
    {%- endfor -%}
    {{ return(rows + tidemark.contract_row(node)) }}
{%- endmacro %}

{%- macro contract_row(node) -%}
    {%- set path = (node.get('patch_path') or '').split('://') | last -%}
    {{ return([{
        'part': node.name, 'kind': 'contract', 'path': path, 'rendered': none, 'code': tidemark.text_of_config(node),
    }]) }}
{%- endmacro %}

{#- The macros of the project that some nodes call, over any number of macros. The engine's and dbt's show in what they
    render. -#}
{%- macro macros_below(ids) -%}
    {%- set queue, found, foreign = [], [], ['dbt', 'dbt_duckdb', 'dbt_snowflake', 'tidemark'] -%}
    {%- for id in ids if id in graph.nodes -%}
        {%- do queue.extend(graph.nodes[id].depends_on.get('macros', [])) -%}
    {%- endfor -%}
    {%- for id in queue if id.split('.')[1] not in foreign -%}
        {%- set generator = context.get(id.split('.')[1], {}).get(id.split('.')[2]) -%}
        {%- if generator and generator.macro not in found -%}
            {%- do found.append(generator.macro) -%}
            {#- the loop goes on over what it appends -#}
            {%- do queue.extend(generator.macro.depends_on.macros) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{#- The settings that texts name, and those of the engine that show in what it renders. -#}
{%- macro settings_in(texts, names) -%}
    {%- set found, known = {}, tidemark.default_settings() -%}
    {%- set pattern = '(?:\\bvar|\\bsetting)\\(\\s*[\'"](\\w+)' -%}
    {%- for name in modules.re.findall(pattern, texts | join('\n')) + ['earliest_event', 'staging_columns'] -%}
        {%- if name != 'versions' -%}
            {%- do found.update({name: tidemark.setting(name) if name in known else var(name, none)}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for name in names if name in tidemark.setting('versions') -%}
        {%- do found.update({'versions: ' ~ name: tidemark.setting('versions')[name]}) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{#- An insert of a node's code under its fingerprint. -#}
{%- macro code_insert(node) -%}
    {%- set rows = [] -%}
    {%- for row in tidemark.code_rows(node) -%}
        {%- set literals = {
            'run_id': tidemark.text_literal(tidemark.run_id()),
            'model_name': tidemark.text_literal(node.name),
            'fingerprint': tidemark.text_literal(tidemark.fingerprint(node)),
            'recorded_at': tidemark.timestamp_literal(tidemark.wall_clock()),
        } -%}
        {%- for name, value in row.items() -%}
            {%- do literals.update({name: tidemark.text_literal(value)}) -%}
        {%- endfor -%}
        {%- do rows.append(literals) -%}
    {%- endfor -%}
    {{ return(tidemark.insert_of_rows('table_code', 'ledger.last_entry', rows)) }}
{%- endmacro %}

{#- By model, the parts of the code that made the tables which now have other code: one statement, and none where
    nothing differs. -#}
{%- macro code_that_made(nodes) -%}
    {%- set parts, conditions = {}, [] -%}
    {%- for node in nodes -%}
        {%- set stored = tidemark.ledger_state().jobs[node.name].fingerprint -%}
        {%- do conditions.append(
            '(model_name = ' ~ tidemark.text_literal(node.name)
            ~ ' and fingerprint = ' ~ tidemark.text_literal(tidemark.first_fingerprint(stored)) ~ ')'
        ) -%}
    {%- endfor -%}
    {%- set sql -%}
        select model_name, part, kind, path, rendered, code
        from {{ tidemark.ops_table('table_code') }}
        where {{ conditions | join(' or ') }}
    {%- endset -%}
    {%- set is_kept = nodes and load_relation(tidemark.ops_table('table_code')) is not none -%}
    {%- for row in (tidemark.named_rows(sql) if is_kept else []) -%}
        {%- do parts.setdefault(row['model_name'], {}).update({(row['kind'], row['part']): row}) -%}
    {%- endfor -%}
    {{ return(parts) }}
{%- endmacro %}

{#- What differs between the code that made a table and the code that is there: kind, part, path, the first line that
    differs, and what stood and stands there. -#}
{%- macro differences_of(node, made_by) -%}
    {%- set found, now = [], {} -%}
    {%- for row in tidemark.code_rows(node) -%}
        {%- do now.update({(row.kind, row.part): row}) -%}
    {%- endfor -%}
    {%- for key in (now.keys() | list + made_by.keys() | list) | unique if made_by -%}
        {%- set before, after = made_by.get(key, {}), now.get(key, {}) -%}
        {%- set renders_alike = before and after and before.rendered and before.rendered == after.rendered -%}
        {%- if before.code != after.code and not renders_alike -%}
            {%- set place = tidemark.first_difference(before.code or '', after.code or '') -%}
            {%- do found.append(dict(place, kind=key[0], part=key[1], path=(after or before).path)) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set unnamed = ('increments', 'of other code') if tidemark.is_mixture(node) else (
        'engine', 'what its Jinja renders'
    ) -%}
    {{ return(found or [{
        'kind': unnamed[0], 'part': unnamed[1], 'path': node.original_file_path, 'line': none,
        'before': none, 'after': none,
    }]) }}
{%- endmacro %}

{%- macro first_difference(before, after) -%}
    {%- set old, new, place = before.split('\n'), after.split('\n'), namespace(line=none) -%}
    {%- for number in range([old | length, new | length] | max) if place.line is none -%}
        {%- if old[number:number + 1] != new[number:number + 1] -%}
            {%- set place.line = number + 1 -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set at = (place.line or 1) - 1 -%}
    {{ return({
        'line': place.line,
        'before': (old[at] if at < old | length else '') | trim,
        'after': (new[at] if at < new | length else '') | trim,
    }) }}
{%- endmacro %}

{#- One phrase: what differs, at most three of it. -#}
{%- macro differences_in_words(node) -%}
    {%- set made_by = tidemark.code_that_made([node]).get(node.name, {}) -%}
    {{ return(tidemark.words_of(tidemark.differences_of(node, made_by))) }}
{%- endmacro %}

{%- macro words_of(differences) -%}
    {%- set words = [] -%}
    {%- for one in differences[:3] -%}
        {%- set is_in_a_file = one.line and one.kind in ('model', 'snapshot') -%}
        {%- set place = one.path ~ ':' ~ one.line if is_in_a_file else one.kind ~ ' ' ~ one.part -%}
        {%- do words.append(place) -%}
    {%- endfor -%}
    {{ return(words | join(', ') ~ (', ...' if differences | length > 3 else '')) }}
{%- endmacro %}

{#- For the gate: by name the recorded nodes that other code made, what happens to them, since when that has been seen,
    and through what. A model above a source that cannot be read is left out: it waits anyway, and its text may ask. -#}
{%- macro changed_code(sources) -%}
    {%- set nodes, found = [], {} -%}
    {%- for node in graph.nodes.values() if tidemark.is_recorded(node) -%}
        {%- set unreadable = [] -%}
        {%- for source in (tidemark.sources_above(node.unique_id) if sources else []) -%}
            {%- do unreadable.append(source.name) if not sources[source.name].is_readable -%}
        {%- endfor -%}
        {%- if not unreadable and tidemark.has_other_code(node) -%}
            {%- do nodes.append(node) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set made_by, since = tidemark.code_that_made(nodes), tidemark.drift_seen_since(nodes) -%}
    {%- for node in nodes -%}
        {%- set differences = tidemark.differences_of(node, made_by.get(node.name, {})) -%}
        {%- do found.update({node.name: {
            'policy': tidemark.on_code_change(node) if node.resource_type == 'model' else 'told',
            'since': (since.get(node.name) or tidemark.as_of_value()) | string,
            'why': tidemark.words_of(differences),
            'differences': differences,
        }}) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{#- The clock of the first look that saw the difference, after the table was last made whole. -#}
{%- macro drift_seen_since(nodes) -%}
    {%- set seen, conditions = {}, [] -%}
    {%- for node in nodes -%}
        {%- do conditions.append(
            '(subject = ' ~ tidemark.text_literal(node.name) ~ ' and ledger_entry >= '
            ~ tidemark.ledger_state().jobs[node.name].full_entry ~ ')'
        ) -%}
    {%- endfor -%}
    {%- set sql -%}
        select subject, min(as_of)
        from {{ tidemark.ops_table('gate_log') }}
        where metric = 'code_drift' and amount > 0 and ({{ conditions | join(' or ') }})
        group by subject
    {%- endset -%}
    {%- for row in (run_query(sql).rows if nodes else []) -%}
        {%- do seen.update({row[0]: row[1]}) -%}
    {%- endfor -%}
    {{ return(seen) }}
{%- endmacro %}

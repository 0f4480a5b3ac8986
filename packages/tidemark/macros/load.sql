{#- From the landing into the raw tables. The files of one name are one delivery, such as a day's usage and the answer
    that it came with. A delivery, its files in ops.landed_files, and what it means for watermarks are one transaction:
    it is there once, or not at all. -#}

{#- run-operation: loads what is not loaded yet, in the order given, which is that of the load times, so many deliveries
    at once. Paths are a list in JSON, relative to the root. It stops where it fails, having said at which files: the command
    line finds out which of them it is, and goes on with the others. Says, too, which of the reports the ledger has not
    heard of. -#}
{%- macro load_landing(root, files='[]', reports='[]', at_once=1) -%}
    {%- set root = tidemark.text_argument('root', root) -%}
    {%- do tidemark.number_argument('at_once', at_once, 1, 1000) -%}
    {%- set files, reports = tidemark.paths_argument('files', files), tidemark.paths_argument('reports', reports) -%}
    {%- do tidemark.create_ops_tables() -%}
    {%- do tidemark.take_run_lock() -%}
    {%- do tidemark.refuse_earlier_clock() -%}
    {%- set known, deliveries, new_reports = tidemark.loaded_paths(), {}, [] -%}
    {%- for path in reports if path not in known -%}
        {%- do new_reports.append(path) -%}
    {%- endfor -%}
    {%- for path in files if path not in known -%}
        {%- do deliveries.setdefault(path.split('/')[-1], []).append(path) -%}
    {%- endfor -%}
    {%- for some in deliveries.values() | batch(at_once) -%}
        {%- set paths = some | sum(start=[]) -%}
        {%- do tidemark.renew_run_lock() -%}
        {%- do log('tidemark:loading ' ~ tojson({'paths': paths, 'deliveries': some | length})) -%}
        {%- do tidemark.load_files(root, paths) -%}
    {%- endfor -%}
    {%- do log('tidemark:landing ' ~ tojson({'as_of': tidemark.as_of_value().isoformat(), 'new_reports': new_reports})) -%}
{%- endmacro %}

{%- macro loaded_paths() -%}
    {%- set paths, sql = {}, 'select path from ' ~ tidemark.ops_table('landed_files') ~ " where status = 'loaded'" -%}
    {%- for row in run_query(sql).rows -%}
        {%- do paths.update({row[0]: true}) -%}
    {%- endfor -%}
    {{ return(paths) }}
{%- endmacro %}

{%- macro load_files(root, paths) -%}
    {%- set copies, landed, resets, by_table = [], [], [], {} -%}
    {%- for path in paths -%}
        {%- do tidemark.refuse_path(path) -%}
        {%- do by_table.setdefault(path.split('/')[0], []).append(path) -%}
    {%- endfor -%}
    {%- for table, paths in by_table.items() -%}
        {%- set source = tidemark.raw_sources() | selectattr('name', 'equalto', table) | first -%}
        {%- do tidemark.make_raw_table(source) -%}
        {%- set columns, rows, alike = {}, {}, {} -%}
        {%- for row in run_query(tidemark.landed_columns(root, paths)).rows -%}
            {%- do columns.setdefault(row[0], {}).update({row[1] | lower: row[2]}) -%}
        {%- endfor -%}
        {%- for path in paths -%}
            {%- do tidemark.refuse_columns(source, path, columns.get(path, {}).keys()) -%}
            {#- read together, files of other types would convert each other -#}
            {%- do alike.setdefault(tojson(columns.get(path, {})), []).append(path) -%}
        {%- endfor -%}
        {%- for some in alike.values() -%}
            {%- set converted = tidemark.landed_conversions(source, columns.get(some[0], {})) -%}
            {%- for row in run_query(tidemark.landed_rows(root, some, source.loaded_at_field, converted)).rows -%}
                {%- do tidemark.refuse_values(row, converted) -%}
                {%- do rows.update({row[0]: (row[1] | int, tidemark.utc_moment(row[2]) if row[2] else none)}) -%}
            {%- endfor -%}
            {%- set expected = [] -%}
            {%- for path in some -%}
                {%- do expected.append(rows.get(path, (0, none))[0]) -%}
            {%- endfor -%}
            {%- do copies.append({
                'paths': some,
                'sql': tidemark.copy_files(root, some, tidemark.relation_of(source), converted),
                'rows': expected | sum,
            }) -%}
        {%- endfor -%}
        {%- for path in paths -%}
            {%- set records, earliest = rows.get(path, (0, none)) -%}
            {%- do landed.append({
                'path': path,
                'table_name': table,
                'records': records,
                'loaded_at': tidemark.landed_at(path),
                'status': 'loaded',
            }) -%}
            {%- do resets.extend(tidemark.overtaken_jobs(source, earliest, path)) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- do tidemark.write_down_load(copies, [tidemark.landed_files_insert(landed)] + ([tidemark.ledger_insert(resets)] if resets else [])) -%}
    {%- set told = {'files': [], 'set_back': resets | map(attribute='job_name') | list} -%}
    {%- for file in landed -%}
        {%- do told.files.append(dict(file, loaded_at=file.loaded_at.isoformat())) -%}
    {%- endfor -%}
    {%- do log('tidemark:loaded ' ~ tojson(told)) -%}
{%- endmacro %}

{#- In one transaction; `write_down` would not hear how many rows were loaded. What Snowflake's own load history knows is
    no help (copy_files), and a file may have been replaced since it was looked at. -#}
{%- macro write_down_load(copies, statements) -%}
    {%- do tidemark.control_transaction('begin') -%}
    {%- for copy in copies -%}
        {%- call statement('copy_files', fetch_result=true, auto_begin=true) %}{{ copy.sql }}{% endcall -%}
        {%- set loaded = tidemark.copied_rows(load_result('copy_files').table) -%}
        {%- if loaded != copy.rows -%}
            {%- do tidemark.control_transaction('rollback') -%}
            {{ exceptions.raise_compiler_error(
                copy.paths | join(', ') ~ ': ' ~ copy.rows ~ ' rows were to be loaded, and the warehouse says that it '
                ~ 'loaded ' ~ loaded ~ '. None of them was kept. The next load tries again.'
            ) }}
        {%- endif -%}
    {%- endfor -%}
    {%- for sql in statements -%}
        {%- call statement('write_down', auto_begin=true) %}{{ sql }}{% endcall -%}
    {%- endfor -%}
    {%- do tidemark.control_transaction('commit') -%}
{%- endmacro %}

{#- DuckDB says how many rows it inserted, Snowflake of each file how many it loaded, and no number if of none. -#}
{%- macro copied_rows(answer) -%}
    {%- set loaded = [] -%}
    {%- for name in answer.column_names if name | lower in ('count', 'rows_loaded') -%}
        {%- do loaded.extend(answer.columns[name].values()) -%}
    {%- endfor -%}
    {{ return(loaded | map('int') | sum) }}
{%- endmacro %}

{#- A path names a table and a load time. -#}
{%- macro refuse_path(path) -%}
    {%- set tables = tidemark.raw_sources() | map(attribute='name') | list -%}
    {%- if path.split('/')[0] not in tables or tidemark.landed_at(path) is none -%}
        {%- set where = 'TABLE/DAY/20251015T120500000000Z-NAME.parquet, of one of the tables ' -%}
        {%- do tidemark.refuse_argument('the path of a landed file', path, where ~ tables | join(', ')) -%}
    {%- endif -%}
{%- endmacro %}

{#- The load time of a file, from its name: 20251015T120500000000Z-2025-10-14.parquet. None where it has none. -#}
{%- macro landed_at(path) -%}
    {%- set stamp, two = path.split('/')[-1].split('-')[0], '([0-9]{2})' -%}
    {%- set found = modules.re.fullmatch('([0-9]{4})' ~ two * 2 ~ 'T' ~ two * 3 ~ '([0-9]{6})Z', stamp) -%}
    {%- if not found -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set parts = found.groups() -%}
    {%- set moment = parts[:3] | join('-') ~ ' ' ~ parts[3:6] | join(':') ~ '.' ~ parts[6] -%}
    {{ return(tidemark.moment_argument('the load time of ' ~ path, moment)) }}
{%- endmacro %}

{%- macro make_raw_table(source) -%}
    {%- set made = graph.setdefault('tidemark_raw_tables' ~ invocation_id, {}) -%}
    {%- if source.name not in made and load_relation(tidemark.relation_of(source)) is none -%}
        {%- do adapter.create_schema(tidemark.relation_of(source).without_identifier()) -%}
        {%- do tidemark.make_objects(tidemark.raw_table_ddl(source)) -%}
    {%- endif -%}
    {%- do made.update({source.name: true}) -%}
{%- endmacro %}

{#- A column that is missing would be null, and its rows be quarantined one by one; one that nobody knows would be
    lost. -#}
{%- macro refuse_columns(source, path, landed) -%}
    {%- set landed, missing, unknown = landed | map('lower') | list, [], [] -%}
    {%- for column in source.columns.values() if column.config.meta.required and column.name not in landed -%}
        {%- do missing.append(column.name) -%}
    {%- endfor -%}
    {%- for name in landed if name not in source.columns -%}
        {%- do unknown.append(name) -%}
    {%- endfor -%}
    {%- if missing or unknown -%}
        {%- set whats = [
            'lacks ' ~ missing | join(', ') if missing else '',
            'has ' ~ unknown | join(', ') ~ ', which ' ~ source.name ~ ' does not know' if unknown else '',
        ] -%}
        {{ exceptions.raise_compiler_error(path ~ ' ' ~ whats | select | join(' and ') ~ '.') }}
    {%- endif -%}
{%- endmacro %}

{#- The columns of a file that are of other types than the contract's; Snowflake does not say. -#}
{%- macro landed_conversions(source, types) -%}
    {{ return(tidemark.conversions_of(source, types) if types.values() | select | list else {}) }}
{%- endmacro %}

{#- A value that its column cannot hold exactly would become another one. -#}
{%- macro refuse_values(row, converted) -%}
    {%- for name, conversion in converted.items() -%}
        {%- set value = row[loop.index + 2] -%}
        {%- if value is not none -%}
            {{ exceptions.raise_compiler_error(
                row[0] ~ ': ' ~ name ~ ' holds ' ~ (value | string)[:100] ~ ', as ' ~ conversion.actual ~ ', which '
                ~ conversion.wanted ~ ' does not hold exactly. Nothing of the file was loaded.'
            ) }}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{#- Models look at what was loaded since their watermark. A file may wait in the landing until a run has gone past its
    load time: the next run has to look again at what was loaded since then, as after `tidemark watermark set`. -#}
{%- macro overtaken_jobs(source, earliest, path) -%}
    {%- set entries = [] -%}
    {%- for node in tidemark.nodes_reading(source) if earliest -%}
        {%- set known = tidemark.ledger_state().jobs.get(node.name, {}) -%}
        {%- if known.get('watermark') and tidemark.overlap_start(known.watermark) > earliest -%}
            {%- set reason = path ~ ' was loaded after a run that had gone past its load time.' -%}
            {%- do entries.append(tidemark.reset_entry(node.name, known, earliest, reason)) -%}
            {%- do known.update({'watermark': earliest}) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(entries) }}
{%- endmacro %}

{#- The marts and snapshots above a raw table, over any number of models. -#}
{%- macro nodes_reading(source) -%}
    {%- set readers = graph.setdefault('tidemark_readers' ~ invocation_id, {}) -%}
    {%- if source.name not in readers -%}
        {%- set found = [] -%}
        {%- for node in graph.nodes.values() if tidemark.is_recorded(node) -%}
            {%- if source.name in tidemark.sources_above(node.unique_id) | map(attribute='name') -%}
                {%- do found.append(node) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- do readers.update({source.name: found}) -%}
    {%- endif -%}
    {{ return(readers[source.name]) }}
{%- endmacro %}

{%- macro landed_files_insert(files) -%}
    insert into {{ tidemark.ops_table('landed_files') }}
    {%- for file in files %}
    select
        {{ tidemark.text_literal(file.path) }},
        {{ tidemark.text_literal(file.table_name) }},
        {{ tidemark.number_literal(file.records) }},
        {{ tidemark.timestamp_literal(file.loaded_at) }},
        {{ tidemark.text_literal(tidemark.run_id()) }},
        {{ tidemark.timestamp_literal(tidemark.wall_clock()) }},
        {{ tidemark.text_literal(file.status) }},
        {{ tidemark.message_literal(file.error_message) }}
        {{- ' union all' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{#- run-operation: the end of a load. Which files could not be loaded and why; a row of the ledger for each run of an
    ingest job that reported here, each report once, and for the load itself. -#}
{%- macro close_load(jobs, failed_files=[]) -%}
    {%- do tidemark.rows_argument('jobs', jobs, ['job_name', 'status', 'figures']) -%}
    {%- do tidemark.rows_argument('failed_files', failed_files, ['path', 'error_message']) -%}
    {%- do tidemark.refuse_earlier_clock() -%}
    {%- set entries, files = [], [] -%}
    {%- for file in failed_files -%}
        {%- do files.append(dict(
            file, table_name=file.path.split('/')[0], loaded_at=tidemark.landed_at(file.path), status='failed'
        )) -%}
    {%- endfor -%}
    {%- for job in jobs -%}
        {%- do entries.append(dict(
            job, job_type='ingest', as_of=tidemark.as_of_value(), metadata_sql=tidemark.text_literal(tojson(job.figures))
        )) -%}
        {%- if job.path -%}
            {%- do files.append({
                'path': job.path, 'table_name': 'jobs', 'loaded_at': tidemark.landed_at(job.path), 'status': 'loaded'
            }) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set dml = [tidemark.ledger_insert(entries)] -%}
    {%- if files -%}
        {%- do dml.append(tidemark.landed_files_insert(files)) -%}
    {%- endif -%}
    {%- do tidemark.write_down(dml) -%}
    {%- do tidemark.release_run_lock() -%}
{%- endmacro %}

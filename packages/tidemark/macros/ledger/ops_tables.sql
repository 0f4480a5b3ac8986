{#- The engine's own tables, as data: from it follow what is created and what is added to tables of an earlier version.
    models/ops/_ops.yml describes the same columns. -#}

{%- macro ops_table(name) -%}
    {%- set schema = tidemark.setting('ops_schema') -%}
    {{ return(api.Relation.create(database=target.database, schema=schema, identifier=name, type='table')) }}
{%- endmacro %}

{#- By name their columns, in order, with their types. Who changes them raises `ops_schema_version`. -#}
{%- macro ops_tables() -%}
    {%- set time = tidemark.timestamp_type() -%}
    {{ return({
        'etl_job_runs': {
            'ledger_entry': 'bigint',
            'run_id': 'varchar',
            'job_name': 'varchar',
            'job_type': 'varchar',
            'status': 'varchar',
            'as_of': time,
            'processed_from': time,
            'last_processed_timestamp': time,
            'records_processed': 'bigint',
            'partitions_touched': 'bigint',
            'mode': 'varchar',
            'started_at': time,
            'completed_at': time,
            'error_message': 'varchar',
            'fingerprint': 'varchar',
            'metadata_json': 'varchar'
        },
        'requested_partitions': {
            'request_id': 'varchar',
            'model_name': 'varchar',
            'entity': 'varchar',
            'day': 'date',
            'reason': 'varchar',
            'requested_at': time,
            'done_at': time,
            'run_id': 'varchar'
        },
        'partition_coverage': {
            'model_name': 'varchar',
            'domain': 'varchar',
            'strategy': 'varchar',
            'built_on': 'varchar',
            'entity': 'varchar',
            'day': 'date',
            'state': 'varchar',
            'expected_rows': 'bigint',
            'stored_rows': 'bigint',
            'differing_rows': 'bigint',
            'differing_columns': 'varchar',
            'is_current': 'boolean',
            'is_rebuildable': 'boolean',
            'as_of': time,
            'found_at': time,
            'checked_at': time,
            'run_id': 'varchar',
            'compared_from': 'date'
        },
        'backfill_attempts': {
            'run_id': 'varchar',
            'model_name': 'varchar',
            'entity': 'varchar',
            'day': 'date',
            'outcome': 'varchar',
            'state': 'varchar',
            'found_at': time,
            'as_of': time,
            'started_at': time,
            'finished_at': time,
            'error_message': 'varchar'
        },
        'changed_keys': {
            'ledger_entry': 'bigint',
            'model_name': 'varchar',
            'entity': 'varchar',
            'day': 'date',
            'run_id': 'varchar',
            'as_of': time
        },
        'run_lock': {
            'holder': 'varchar',
            'taken_at': time,
            'expires_at': time
        },
        'run_lock_turn': {
            'taken_at': time
        },
        'gate_log': {
            'ledger_entry': 'bigint',
            'run_id': 'varchar',
            'measured_at': time,
            'as_of': time,
            'metric': 'varchar',
            'subject': 'varchar',
            'amount': 'bigint',
            'detail': 'varchar',
            'warning_at': 'bigint',
            'critical_at': 'bigint',
            'reference_time': time,
            'reason': 'varchar'
        },
        'alerts': {
            'alert_entry': 'bigint',
            'run_id': 'varchar',
            'told_at': time,
            'as_of': time,
            'channel': 'varchar',
            'subject': 'varchar',
            'state': 'varchar'
        },
        'landed_files': {
            'path': 'varchar',
            'table_name': 'varchar',
            'records': 'bigint',
            'loaded_at': time,
            'run_id': 'varchar',
            'recorded_at': time,
            'status': 'varchar',
            'error_message': 'varchar'
        },
        'table_code': {
            'ledger_entry': 'bigint',
            'run_id': 'varchar',
            'model_name': 'varchar',
            'fingerprint': 'varchar',
            'part': 'varchar',
            'kind': 'varchar',
            'path': 'varchar',
            'rendered': 'varchar',
            'code': 'varchar',
            'recorded_at': time
        },
        'retention_floors': {
            'ledger_entry': 'bigint',
            'run_id': 'varchar',
            'pruned_at': time,
            'as_of': time,
            'subject': 'varchar',
            'subject_type': 'varchar',
            'kept_from': 'date',
            'rows_deleted': 'bigint',
            'reason': 'varchar'
        },
        'test_results': {
            'test_id': 'varchar',
            'model_name': 'varchar',
            'ledger_entry': 'bigint',
            'checksum': 'varchar',
            'status': 'varchar',
            'run_id': 'varchar',
            'as_of': time,
            'tested_at': time,
            'whole_as_of': time
        },
        'refusals': {
            'run_id': 'varchar',
            'model_name': 'varchar',
            'test_name': 'varchar',
            'failures': 'bigint',
            'refused_at': time,
            'as_of': time
        },
        'rejected_rows': {
            'run_id': 'varchar',
            'model_name': 'varchar',
            'test_name': 'varchar',
            'entity': 'varchar',
            'day': 'varchar',
            'row_json': 'varchar',
            'refused_at': time,
            'as_of': time
        }
    }) }}
{%- endmacro %}

{#- It stands in the name of a view, so that a run knows it without a statement: dbt lists a schema anyway. -#}
{%- macro ops_schema_version() -%}
    {{ return(4) }}
{%- endmacro %}

{%- macro ops_version_marker() -%}
    {{ return(tidemark.ops_table('schema_version_' ~ tidemark.ops_schema_version())) }}
{%- endmacro %}

{#- What brings rows of an earlier version to this one, besides new tables and columns, which come by themselves.
    `renamed`: table, old and new name of a column. Each can be done twice: a migration may be killed. -#}
{%- macro ops_migrations() -%}
    {%- set ledger, coverage = tidemark.ops_table('etl_job_runs'), tidemark.ops_table('partition_coverage') -%}
    {%- set mode = tidemark.json_text('metadata_json', 'mode') -%}
    {{ return({
        'renamed': [('etl_job_runs', 'code_checksum', 'fingerprint')],
        'rows': [
            "update " ~ ledger ~ " set mode = " ~ mode ~ " where mode is null and metadata_json is not null",
            "update " ~ ledger ~ " set job_type = 'restatement' where job_type = 'backfill'",
            "update " ~ coverage ~ " set strategy = 'full' where strategy = 'whole'",
        ],
    }) }}
{%- endmacro %}

{#- Creates what is not there, and migrates what an earlier version left. -#}
{%- macro create_ops_tables() -%}
    {%- set marker = tidemark.ops_version_marker() -%}
    {%- set absent = [] -%}
    {%- for name in tidemark.ops_tables() if load_relation(tidemark.ops_table(name)) is none -%}
        {%- do absent.append(name) -%}
    {%- endfor -%}
    {%- if absent or load_relation(marker) is none -%}
        {%- do adapter.create_schema(marker.without_identifier()) -%}
        {%- set statements = tidemark.ops_statements(absent) -%}
        {%- set version = tidemark.ops_schema_version() -%}
        {%- set known = 'select ' ~ version ~ ' as schema_version' -%}
        {%- do statements.append('create or replace view ' ~ marker ~ ' as ' ~ known) -%}
        {%- do run_query(statements | join(';\n')) -%}
    {%- endif -%}
{%- endmacro %}

{#- Tables that are absent, columns that are absent from the others, then what their rows need. -#}
{%- macro ops_statements(absent) -%}
    {%- set statements, migrations = [], tidemark.ops_migrations() -%}
    {%- for name, columns in tidemark.ops_tables().items() -%}
        {%- set table, ddl, known = tidemark.ops_table(name), [], [] -%}
        {%- set stored = [] if name in absent else adapter.get_columns_in_relation(table) -%}
        {%- for column in stored -%}
            {%- do known.append(column.name | lower) -%}
        {%- endfor -%}
        {%- for of_table, old, new in migrations.renamed if of_table == name and old in known and new not in known -%}
            {%- do statements.append('alter table ' ~ table ~ ' rename column ' ~ old ~ ' to ' ~ new) -%}
            {%- do known.append(new) -%}
        {%- endfor -%}
        {%- for column, type in columns.items() -%}
            {%- do ddl.append(column ~ ' ' ~ type) -%}
            {%- if name not in absent and column not in known -%}
                {%- do statements.append('alter table ' ~ table ~ ' add column ' ~ column ~ ' ' ~ type) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if name in absent -%}
            {%- do statements.append('create table if not exists ' ~ table ~ ' (' ~ ddl | join(', ') ~ ')') -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(statements + (migrations.rows if 'etl_job_runs' not in absent else [])) }}
{%- endmacro %}

{#- For operations: statements that make what is not there, each of which Snowflake commits. -#}
{%- macro make_objects(sql) -%}
    {%- call statement('make_objects', auto_begin=true) %}{{ sql }}{% endcall -%}
    {%- do adapter.commit() -%}
{%- endmacro %}

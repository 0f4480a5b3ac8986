{#- The engine's own tables. -#}

{%- macro ops_table(name) -%}
    {%- set schema = tidemark.setting('ops_schema') -%}
    {{ return(api.Relation.create(database=target.database, schema=schema, identifier=name, type='table')) }}
{%- endmacro %}

{%- macro create_ops_tables() -%}
    {%- set timestamp = tidemark.timestamp_type() -%}
    {%- set sql -%}
        create table if not exists {{ tidemark.ops_table('etl_job_runs') }} (
            ledger_entry bigint,
            run_id varchar,
            job_name varchar,
            job_type varchar,
            status varchar,
            as_of {{ timestamp }},
            processed_from {{ timestamp }},
            last_processed_timestamp {{ timestamp }},
            records_processed bigint,
            partitions_touched bigint,
            started_at {{ timestamp }},
            completed_at {{ timestamp }},
            error_message varchar,
            code_checksum varchar,
            metadata_json varchar
        );
        create table if not exists {{ tidemark.ops_table('requested_partitions') }} (
            request_id varchar,
            model_name varchar,
            entity varchar,
            day date,
            reason varchar,
            requested_at {{ timestamp }},
            done_at {{ timestamp }},
            run_id varchar
        );
        create table if not exists {{ tidemark.ops_table('partition_coverage') }} (
            model_name varchar,
            domain varchar,
            strategy varchar,
            built_on varchar,
            entity varchar,
            day date,
            state varchar,
            expected_rows bigint,
            stored_rows bigint,
            differing_rows bigint,
            differing_columns varchar,
            is_current boolean,
            is_rebuildable boolean,
            as_of {{ timestamp }},
            found_at {{ timestamp }},
            checked_at {{ timestamp }},
            run_id varchar,
            compared_from date
        );
        {#- the table may be of a version that did not know it #}
        alter table {{ tidemark.ops_table('partition_coverage') }} add column if not exists compared_from date;
        create table if not exists {{ tidemark.ops_table('backfill_attempts') }} (
            run_id varchar,
            model_name varchar,
            entity varchar,
            day date,
            outcome varchar,
            state varchar,
            found_at {{ timestamp }},
            as_of {{ timestamp }},
            started_at {{ timestamp }},
            finished_at {{ timestamp }},
            error_message varchar
        );
        create table if not exists {{ tidemark.ops_table('changed_keys') }} (
            ledger_entry bigint,
            model_name varchar,
            entity varchar,
            day date,
            run_id varchar,
            as_of {{ timestamp }}
        );
        create table if not exists {{ tidemark.ops_table('run_lock') }} (
            holder varchar,
            taken_at {{ timestamp }},
            expires_at {{ timestamp }}
        );
        create table if not exists {{ tidemark.ops_table('run_lock_turn') }} (
            taken_at {{ timestamp }}
        );
        create table if not exists {{ tidemark.ops_table('gate_log') }} (
            ledger_entry bigint,
            run_id varchar,
            measured_at {{ timestamp }},
            as_of {{ timestamp }},
            metric varchar,
            subject varchar,
            amount bigint,
            detail varchar,
            warning_at bigint,
            critical_at bigint,
            reference_time {{ timestamp }},
            reason varchar
        );
        create table if not exists {{ tidemark.ops_table('alerts') }} (
            alert_entry bigint,
            run_id varchar,
            told_at {{ timestamp }},
            as_of {{ timestamp }},
            channel varchar,
            subject varchar,
            state varchar
        );
        create table if not exists {{ tidemark.ops_table('landed_files') }} (
            path varchar,
            table_name varchar,
            records bigint,
            loaded_at {{ timestamp }},
            run_id varchar,
            recorded_at {{ timestamp }},
            status varchar,
            error_message varchar
        );
        create table if not exists {{ tidemark.ops_table('retention_floors') }} (
            ledger_entry bigint,
            run_id varchar,
            pruned_at {{ timestamp }},
            as_of {{ timestamp }},
            subject varchar,
            subject_type varchar,
            kept_from date,
            rows_deleted bigint,
            reason varchar
        )
    {%- endset -%}
    {#- what is there is known from one look at the schema: on Snowflake ten statements less in every run -#}
    {%- for name in modules.re.findall('create table if not exists \\S*?(\\w+)"? ', sql) -%}
        {%- if load_relation(tidemark.ops_table(name)) is none -%}
            {%- do adapter.create_schema(tidemark.ops_table(name).without_identifier()) -%}
            {{ return(run_query(sql)) }}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{#- For operations: statements that make what is not there, each of which Snowflake commits. -#}
{%- macro make_objects(sql) -%}
    {%- call statement('make_objects', auto_begin=true) %}{{ sql }}{% endcall -%}
    {%- do adapter.commit() -%}
{%- endmacro %}

{#- The engine's own records stay small by themselves: the first run of a day drops what is older than the settings
    `ops_days` and `gate_log_days`, but the last of each kind, which says how things stand. -#}

{#- Statements for the end of a run; none when one has run today, since each rewrites what it touches on Snowflake. -#}
{%- macro expired_records() -%}
    {%- set last_run = tidemark.ledger_state().last_run -%}
    {%- if last_run and tidemark.utc_moment(last_run).date() >= tidemark.wall_clock().date() -%}
        {{ return([]) }}
    {%- endif -%}
    {%- set days, log_days = tidemark.setting('ops_days'), tidemark.setting('gate_log_days') -%}
    {%- set kinds = ['job_name', 'job_type', 'status', 'mode', '(last_processed_timestamp is null)'] -%}
    {{ return([
        tidemark.expired('etl_job_runs', 'started_at', days, 'ledger_entry', kinds),
        tidemark.expired('gate_log', 'measured_at', log_days, 'ledger_entry', ['metric', 'subject']),
        tidemark.expired('alerts', 'told_at', days, 'alert_entry', ['channel', 'subject']),
        tidemark.expired('backfill_attempts', 'coalesce(finished_at, started_at)', days),
        tidemark.expired('refusals', 'refused_at', days),
        tidemark.expired('rejected_rows', 'refused_at', days),
        tidemark.expired('requested_partitions', 'done_at', days),
        tidemark.expired('partition_coverage', "case when state = 'ok' then checked_at end", days),
        tidemark.read_by_all(),
    ]) }}
{%- endmacro %}

{#- Rows of a table whose time lies so many days back; without the last, by its number, of each group of columns. -#}
{%- macro expired(table, time, days, entry=none, kinds=[]) -%}
    {%- set since = tidemark.wall_clock() - modules.datetime.timedelta(days=days) -%}
    delete from {{ tidemark.ops_table(table) }}
    where
        {{ time }} < {{ tidemark.timestamp_literal(since) }}
        {%- if entry %}
        and {{ entry }} not in (
            select max({{ entry }}) from {{ tidemark.ops_table(table) }} group by {{ kinds | join(', ') }}
        )
        {%- endif %}
{%- endmacro %}

{#- Changed keys that every reader has read: they are read in the order of the ledger, and never twice. -#}
{%- macro read_by_all() -%}
    {%- set read = [] -%}
    {%- for node in graph.nodes.values() if tidemark.is_recorded(node) and tidemark.session_tables(node) -%}
        {%- do read.append(tidemark.ledger_state().jobs.get(node.name, {}).get('read_entry', 0) | int) -%}
    {%- endfor -%}
    delete from {{ tidemark.ops_table('changed_keys') }}
    where ledger_entry < {{ read | min if read else 0 }}
{%- endmacro %}

{#- The ledger: what ran, up to which clock, with what result. Rows are only ever appended, and a model's success is
    written in the transaction of its data: a crash leaves both or neither. -#}

{#- Predicate on ops.changed_keys: what these tables changed since the model last read them, in ledger order. After a
    reset also what they changed from that watermark on. -#}
{%- macro unread_changes(job_name, tables) -%}
    {%- set job = tidemark.ledger_state().jobs[job_name] -%}
    model_name in ('{{ tables | join("', '") }}')
    and (
        ledger_entry > {{ job.read_entry }}
        {%- if job.is_reset %}
        or as_of >= {{ tidemark.timestamp_literal(tidemark.overlap_start(job.watermark)) }}
        {%- endif %}
    )
{%- endmacro %}

{#- The clock up to which this model has processed its sources. -#}
{%- macro last_watermark() -%}
    {{ return(tidemark.ledger_state().jobs.get(model.name, {}).get('watermark')) }}
{%- endmacro %}

{#- The same of any model, as it is by now: one that was built in this command has it from there. -#}
{%- macro watermark_now(name) -%}
    {%- set id = (tidemark.model_named(name) or {}).get('unique_id', '') -%}
    {%- set built = graph.get('tidemark_states', {}).get(invocation_id ~ id, {}) -%}
    {%- set is_moved = built.mode in ('full', 'incremental') -%}
    {{ return(tidemark.as_of_value() if is_moved else tidemark.ledger_state().jobs.get(name, {}).get('watermark')) }}
{%- endmacro %}

{#- Up to where a table claims to hold everything: a restatement and the gate do not add to that, a reset takes nothing
    away. Of a table that the ledger does not know everything is expected. -#}
{%- macro known_clock() -%}
    {%- set job = tidemark.ledger_state().jobs.get(model.name, {}) -%}
    {{ return(tidemark.utc_moment(job.get('built_until') or tidemark.as_of_value())) }}
{%- endmacro %}

{%- macro open_requests() -%}
    {%- set requests = tidemark.ledger_state().requests.get(model.name, []) -%}
    {%- if not requests -%}
        {{ return(none) }}
    {%- endif -%}
    {{ return({
        'until': requests | map(attribute='requested_at') | max,
        'days': requests | map(attribute='day') | reject('none') | unique | sort,
    }) }}
{%- endmacro %}

{#- A command that writes brings a ledger of an earlier version up to date, whichever hook asks first; for one that only
    reads there is none. -#}
{%- macro is_ledger_readable() -%}
    {%- set is_there = load_relation(tidemark.ops_table('etl_job_runs')) is not none -%}
    {%- set is_of_this_version = load_relation(tidemark.ops_version_marker()) is not none -%}
    {%- set writes = flags.WHICH in ('run', 'build', 'test', 'seed', 'snapshot', 'freshness', 'run-operation') -%}
    {%- if is_there and writes and not is_of_this_version -%}
        {%- do tidemark.create_ops_tables() -%}
    {%- endif -%}
    {{ return(is_there and (writes or is_of_this_version)) }}
{%- endmacro %}

{#- What the ledger said when this command began; read once, since nobody but a model itself moves its watermark. -#}
{%- macro ledger_state() -%}
    {%- set key = 'tidemark_ledger' ~ invocation_id -%}
    {%- if key not in graph -%}
        {%- set jobs, failures, requests, floors, last_run, tests = {}, {}, {}, {}, [], {} -%}
        {%- if tidemark.is_ledger_readable() -%}
            {%- set entries = tidemark.recent_entries() -%}
            {%- set rows = tidemark.named_rows(tidemark.last_runs(entries)) -%}
            {%- if not tidemark.have_all_succeeded(rows) -%}
                {%- set entries = tidemark.ops_table('etl_job_runs') -%}
                {%- set rows = tidemark.named_rows(tidemark.last_runs(entries)) -%}
            {%- endif -%}
            {%- for row in rows -%}
                {%- do jobs.update({row['job_name']: {
                    'watermark': row['last_processed_timestamp'],
                    'built_until': row['built_until'],
                    'known_until': row['known_until'],
                    'read_entry': row['success_entry'] or 0,
                    'full_entry': row['full_entry'] or 0,
                    'written_entry': row['written_entry'] or 0,
                    'is_reset': row['job_type'] == 'reset',
                    'fingerprint': row['fingerprint'],
                    'metadata': fromjson(row['metadata_json'] or '{}', {}),
                    'clock': row['as_of'],
                }}) -%}
            {%- endfor -%}
            {%- for row in tidemark.named_rows(tidemark.failures_floors_and_requests(entries)) -%}
                {%- if row['kind'] == 'failure' -%}
                    {%- do failures.update({row['subject']: row['ledger_entry']}) -%}
                {%- elif row['kind'] == 'floor' -%}
                    {%- do floors.update({row['subject']: row['day']}) -%}
                {%- elif row['kind'] == 'run' -%}
                    {%- do last_run.append(row['requested_at']) -%}
                {%- elif row['kind'] == 'test' -%}
                    {%- do tests.update({row['subject']: {
                        'ledger_entry': row['ledger_entry'],
                        'checksum': row['entity'],
                        'as_of': row['requested_at'],
                    }}) -%}
                {%- else -%}
                    {%- do requests.setdefault(row['subject'], []).append(row) -%}
                {%- endif -%}
            {%- endfor -%}
        {%- endif -%}
        {%- do graph.update({key: {
            'jobs': jobs,
            'failures': failures,
            'requests': requests,
            'floors': floors,
            'last_run': last_run | first | default(none),
            'tests': tests,
        }}) -%}
    {%- endif -%}
    {{ return(graph[key]) }}
{%- endmacro %}

{#- The ledger of five weeks, by a literal: an engine skips what it stores of the time before. Each model that ends is
    an entry, and on Snowflake a micro-partition. -#}
{%- macro recent_entries() -%}
    {%- set since = tidemark.timestamp_literal(tidemark.wall_clock() - modules.datetime.timedelta(days=35)) -%}
    {%- set is_recent = 'started_at >= ' ~ since ~ ' or started_at is null' -%}
    {{ return('(select * from ' ~ tidemark.ops_table('etl_job_runs') ~ ' where ' ~ is_recent ~ ')') }}
{%- endmacro %}

{#- Then nothing of the time before matters: what a job is known by is its last success, and what came after it. -#}
{%- macro have_all_succeeded(last_runs) -%}
    {%- set names = last_runs | selectattr('success_entry') | map(attribute='job_name') | list -%}
    {%- set unknown = [] -%}
    {%- for node in graph.nodes.values() if tidemark.is_recorded(node) and node.name not in names -%}
        {%- do unknown.append(node.name) -%}
    {%- endfor -%}
    {{ return(not unknown) }}
{%- endmacro %}

{#- What failed last, a test of it included; when a run last ended; from which day the raw tables are complete; what
    someone asked for; which tests have passed, and up to where: one statement, since every run asks. -#}
{%- macro failures_floors_and_requests(entries) -%}
    select
        'failure' as kind,
        job_name as subject,
        max(ledger_entry) as ledger_entry,
        cast(null as varchar) as entity,
        cast(null as date) as day,
        {{ tidemark.timestamp_literal(none) }} as requested_at
    from {{ entries }} as entries
    where job_type = 'model' and status = 'failed'
    group by job_name
    union all
    select
        'run' as kind,
        'last' as subject,
        null as ledger_entry,
        null as entity,
        null as day,
        max(completed_at) as requested_at
    from {{ entries }} as entries
    where job_name like 'dbt %'
    union all
    select
        'request' as kind,
        model_name as subject,
        null as ledger_entry,
        entity,
        {{ tidemark.within_calendar('day') }} as day,
        requested_at
    from {{ tidemark.ops_table('requested_partitions') }}
    where done_at is null
    {#- absent before the first run of a version that knows of it -#}
    {%- if load_relation(tidemark.ops_table('retention_floors')) is not none %}
    union all
    select
        'floor' as kind,
        subject,
        null as ledger_entry,
        null as entity,
        max(kept_from) as day,
        null as requested_at
    from {{ tidemark.ops_table('retention_floors') }}
    where subject_type = 'source'
    group by subject
    {%- endif %}
    {%- if load_relation(tidemark.ops_table('test_results')) is not none %}
    union all
    select
        'test' as kind,
        test_id as subject,
        ledger_entry,
        checksum as entity,
        null as day,
        as_of as requested_at
    from {{ tidemark.ops_table('test_results') }}
    where status in ('pass', 'warn')
    {%- endif %}
{%- endmacro %}

{#- Per job: its last success or reset in ledger order, its last clock, and the clock up to which it is known. An
    `unchanged` decision of the gate (recorded as skipped) advances both and not the watermark. -#}
{%- macro last_runs(ledger) -%}
    select
        runs.job_name,
        runs.job_type,
        runs.last_processed_timestamp,
        runs.ledger_entry,
        runs.fingerprint,
        runs.metadata_json,
        successes.success_entry,
        successes.full_entry,
        successes.built_until,
        clocks.as_of,
        clocks.known_until,
        clocks.written_entry
    from {{ ledger }} as runs
    left join (
        select
            entries.job_name,
            {{ tidemark.last_known('entries.as_of', 'entries.ledger_entry') }} as as_of,
            {#- a restatement writes at its clock, and knows only the days of its window up to then. #}
            {{ tidemark.last_known(
                'entries.as_of', "case when entries.job_type <> 'restatement' then entries.ledger_entry end"
            ) }} as known_until,
            max(case when entries.status = 'success' then entries.ledger_entry end) as written_entry
        from {{ ledger }} as entries
        where entries.status = 'success' or (entries.job_type = 'gate' and entries.status = 'skipped')
        group by entries.job_name
    ) as clocks on runs.job_name = clocks.job_name
    left join (
        select
            job_name,
            max(ledger_entry) as success_entry,
            max(case when mode = 'full' then ledger_entry end) as full_entry,
            {{ tidemark.last_known('last_processed_timestamp', 'ledger_entry') }} as built_until
        from {{ ledger }}
        where job_type = 'model' and status = 'success'
        group by job_name
    ) as successes on runs.job_name = successes.job_name
    where (runs.job_type = 'model' and runs.status = 'success') or runs.job_type = 'reset'
    qualify row_number() over (partition by runs.job_name order by runs.ledger_entry desc) = 1
{%- endmacro %}

{#- dbt's invocation; the command line gives the calls of one command one id. -#}
{%- macro run_id() -%}
    {{ return(var('run_id', invocation_id)) }}
{%- endmacro %}

{%- macro run_entry(status, run_id=none, job_name=none, error_message=none) -%}
    {%- set is_restatement = invocation_args_dict.get('event_time_start') -%}
    {{ return({
        'run_id': run_id,
        'job_name': job_name or ('coverage' if tidemark.is_coverage() else 'dbt ' ~ flags.WHICH),
        'job_type': 'restatement' if is_restatement else 'gate' if tidemark.is_coverage() else 'model',
        'status': status,
        'as_of': tidemark.as_of_value(),
        'error_message': error_message,
    }) }}
{%- endmacro %}

{%- macro model_entry(node, status, message) -%}
    {{ return({
        'job_name': node.name,
        'job_type': 'model',
        'status': status,
        'as_of': tidemark.as_of_value(),
        'error_message': message,
    }) }}
{%- endmacro %}

{#- The entry number is the ledger's order: wall clocks step back and tie. Only one writer at a time writes for one job,
    so a tie between jobs does no harm. -#}
{%- macro ledger_insert(entries) -%}
    {%- set rows, now = [], tidemark.wall_clock() -%}
    {%- for entry in entries -%}
        {%- do rows.append({
            'run_id': tidemark.text_literal(entry.run_id or tidemark.run_id()),
            'job_name': tidemark.text_literal(entry.job_name),
            'job_type': tidemark.text_literal(entry.job_type),
            'status': tidemark.text_literal(entry.status),
            'as_of': tidemark.timestamp_literal(entry.as_of),
            'processed_from': tidemark.timestamp_literal(entry.processed_from),
            'last_processed_timestamp': tidemark.timestamp_literal(entry.last_processed_timestamp),
            'records_processed': tidemark.number_literal(entry.records_processed),
            'partitions_touched': tidemark.number_literal(entry.partitions_touched),
            'mode': tidemark.text_literal(entry.mode),
            'started_at': tidemark.timestamp_literal(entry.started_at or tidemark.utc_moment(run_started_at)),
            'completed_at': tidemark.timestamp_literal(
                entry.completed_at or (now if entry.status != 'running' else none)
            ),
            'error_message': tidemark.message_literal(entry.error_message),
            'fingerprint': tidemark.text_literal(entry.fingerprint),
            'metadata_json': entry.metadata_sql or tidemark.text_literal(none),
        }) -%}
    {%- endfor -%}
    {{ return(tidemark.insert_of_rows('etl_job_runs', 'ledger.last_entry + rows_to_add.ordinal', rows)) }}
{%- endmacro %}

{#- An insert of rows, each literals by column, into an ops table that is numbered like the ledger. What all rows share
    stands once, and so does the look for the last number: a check writes 150 rows, which were 80 kB and as many looks.
    Nulls have a type in the first row. -#}
{%- macro insert_of_rows(table, ledger_entry, rows) -%}
    {%- set own = [] -%}
    {%- for column in rows[0] if rows | map(attribute=column) | unique(case_sensitive=true) | list | length > 1 -%}
        {%- do own.append(column) -%}
    {%- endfor -%}
    insert into {{ tidemark.ops_table(table) }} (ledger_entry, {{ rows[0] | join(', ') }})
    select
        {{ ledger_entry }}
        {%- for column, literal in rows[0].items() %},
        {{ 'rows_to_add.' ~ column if column in own else literal }}
        {%- endfor %}
    from (select {{ tidemark.last_ledger_entry() }} as last_entry) as ledger
    cross join (
        select 1 as ordinal
        {%- for column in own %}, {{ rows[0][column] }} as {{ column }}{% endfor %}
        {%- for row in rows[1:] %}
        union all select {{ loop.index + 1 }}
        {%- for column in own %}, {{ 'null' if row[column].startswith('cast(null ') else row[column] }}{% endfor %}
        {%- endfor %}
    ) as rows_to_add
{%- endmacro %}

{%- macro last_ledger_entry() -%}
    coalesce((select max(ledger_entry) from {{ tidemark.ops_table('etl_job_runs') }}), 0)
{%- endmacro %}

{#- What a table of sessions changed, under an entry number greater than that of any reader's run before it and smaller
    than that of any after it. -#}
{%- macro changed_keys_insert(changed_keys) %}
        insert into {{ tidemark.ops_table('changed_keys') }}
        select
            {{ tidemark.last_ledger_entry() }} + 1,
            {{ tidemark.text_literal(model.name) }},
            cast(changed.entity as varchar),
            changed.day,
            {{ tidemark.text_literal(tidemark.run_id()) }},
            {{ tidemark.as_of() }}
        from ({{ changed_keys }}) as changed
{%- endmacro %}

{#- For operations and the hooks of a run: statements that change rows, all of them or none. The commit is DuckDB's,
    where a look at the schemas may have opened a transaction that is rolled back at the end; on Snowflake dbt's does
    nothing. -#}
{%- macro write_down(statements) -%}
    {%- call statement('write_down', auto_begin=true) %}{{ tidemark.in_one_transaction(statements) }}{% endcall -%}
    {%- do adapter.commit() -%}
{%- endmacro %}

{%- macro number_literal(value) -%}
    {{ return('null' if value is undefined or value is none else value | string) }}
{%- endmacro %}

{%- macro count_of(expression) -%}
    {{ return(run_query('select ' ~ expression).rows[0][0] | int) }}
{%- endmacro %}

{#- The ledger: what ran, up to which clock, with what result. Rows are only ever appended, and a model's success is
    written in the transaction of its data: a crash leaves both or neither. -#}

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


{#- Written when a run starts and ends, and with every model -#}

{#- on-run-start. Refuses a clock that runs backwards, whatever command it is that writes, and closes what a killed run
    left open. -#}
{%- macro open_ledger() -%}
    {%- set reading = ['test', 'compile', 'generate', 'freshness', 'show', 'list', 'parse', 'debug'] -%}
    {%- if execute and flags.WHICH in ('run', 'build', 'test', 'seed', 'snapshot', 'freshness') -%}
        {%- do tidemark.refuse_incomplete_wiring() -%}
        {%- do tidemark.refuse_to_cover() -%}
        {%- do tidemark.create_ops_tables() -%}
    {%- endif -%}
    {%- if execute and flags.WHICH in ('run', 'build') -%}
        {%- do tidemark.take_run_lock() -%}
    {%- endif -%}
    {%- if execute and flags.WHICH not in reading -%}
        {%- do tidemark.refuse_earlier_clock() -%}
    {%- endif -%}
    {%- if execute and flags.WHICH in ('run', 'build') -%}
        {%- do tidemark.tell_types_of_raw_tables() -%}
        {%- set entries = [] -%}
        {%- for run_id, job_name in tidemark.unfinished_runs() -%}
            {%- set killed = 'The run was killed: it never recorded its end.' -%}
            {%- do entries.append(tidemark.run_entry('failed', run_id=run_id, job_name=job_name, error_message=killed)) -%}
        {%- endfor -%}
        {%- if not tidemark.is_coverage() -%}
            {%- do entries.append(tidemark.run_entry('running')) -%}
        {%- endif -%}
        {%- if entries -%}
            {%- do tidemark.write_down(tidemark.ledger_insert(entries)) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{#- on-run-end. What failed (a failed test counts against its models, also after a repair, which tests by itself), what
    was skipped because of it, and the end of the run itself. -#}
{%- macro close_ledger(results) -%}
    {%- if execute and flags.WHICH in ('run', 'build', 'test') -%}
        {%- do tidemark.tell_missing_tables(results) -%}
        {%- set entries, failures = [], [] -%}
        {%- for result in results if result.status in ('error', 'fail', 'skipped') -%}
            {%- set node = result.node -%}
            {%- if result.status != 'skipped' -%}
                {%- do failures.append(node.name) -%}
            {%- endif -%}
            {%- if tidemark.is_coverage() -%}
                {#- what could not be checked has not failed to be built -#}
            {%- elif node.resource_type in ('model', 'snapshot') -%}
                {%- set status = 'skipped' if result.status == 'skipped' else 'failed' -%}
                {%- do entries.append(tidemark.model_entry(node, status, result.message)) -%}
            {%- elif node.resource_type == 'test' and result.status != 'skipped' -%}
                {%- for id in node.depends_on.nodes if id in graph.nodes and tidemark.is_recorded(graph.nodes[id]) -%}
                    {%- set message = 'Test ' ~ node.name ~ ': ' ~ result.message -%}
                    {%- do entries.append(tidemark.model_entry(graph.nodes[id], 'failed', message)) -%}
                {%- endfor -%}
            {%- endif -%}
        {%- endfor -%}
        {#- tests alone are no run: they take no lock, and neither begin nor end -#}
        {%- if flags.WHICH != 'test' -%}
            {%- set message = 'Failed: ' ~ failures | join(', ') if failures else none -%}
            {%- do entries.append(tidemark.run_entry('failed' if failures else 'success', error_message=message)) -%}
        {%- endif -%}
        {%- if entries -%}
            {%- do tidemark.write_down(tidemark.ledger_insert(entries)) -%}
        {%- endif -%}
        {%- if flags.WHICH != 'test' -%}
            {%- do tidemark.release_run_lock() -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{#- run-operation: the end of a run that was told to stop. dbt calls on-run-end for what fails, not for that. -#}
{%- macro close_interrupted_run(reason) -%}
    {%- set reason = tidemark.text_argument('reason', reason) -%}
    {%- do tidemark.create_ops_tables() -%}
    {%- set entries = [] -%}
    {%- for unfinished, job_name in tidemark.unfinished_runs() if unfinished == tidemark.run_id() -%}
        {%- do entries.append(tidemark.run_entry('failed', job_name=job_name, error_message=reason)) -%}
    {%- endfor -%}
    {%- if entries -%}
        {%- do tidemark.write_down(tidemark.ledger_insert(entries)) -%}
    {%- endif -%}
    {%- do tidemark.release_run_lock() -%}
{%- endmacro %}

{#- Pre-hook of every mart: from here on its time counts, unless it has begun with what it asked while it compiled. -#}
{%- macro begin_run() -%}
    {%- if not tidemark.is_recorded(model) -%}
        {{ return('') }}
    {%- endif -%}
    {%- if execute and flags.WHICH in ('run', 'build') -%}
        {%- do tidemark.renew_run_lock() -%}
    {%- endif -%}
    {%- if tidemark.is_coverage() -%}
        {%- do tidemark.refuse_uncovered() -%}
    {%- endif -%}
    {%- do tidemark.run_state() -%}
    {%- do tidemark.forget_before_rebuild() -%}
    {%- if execute and model.resource_type == 'snapshot' -%}
        {%- do tidemark.refuse_later_rows() -%}
    {%- endif -%}
{%- endmacro %}

{#- What a snapshot holds says itself how far it has come, also where the ledger has lost that, or never got it. -#}
{%- macro refuse_later_rows() -%}
    {%- set later = '(select count(*) from ' ~ this ~ ' where dbt_valid_from > ' ~ tidemark.as_of() ~ ')' -%}
    {%- if load_relation(this) is not none and tidemark.count_of(later) -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ' holds rows that were loaded later than the clock of this run, ' ~ tidemark.as_of_value()
            ~ '. Nothing rebuilds a snapshot, so it was left as it is. Use a later as_of.'
        ) }}
    {%- endif -%}
{%- endmacro %}

{#- Post-hook of every mart. A restatement does not move the watermark; a build with --empty or --sample leaves none, so
    that the next one rebuilds the table. -#}
{%- macro record_run() -%}
    {%- set writes = execute and flags.WHICH in ('run', 'build', 'snapshot') -%}
    {%- if writes and tidemark.is_recorded(model) and not tidemark.is_coverage() -%}
        {%- set state = tidemark.run_state() -%}
        {%- set is_partial = invocation_args_dict.get('empty') or invocation_args_dict.get('sample') -%}
        {%- set watermark = none if is_partial or state.mode == 'restate' else tidemark.as_of_value() -%}
        {%- if state.rows is not defined and config.get('materialized') != 'view' -%}
            {%- do state.update({'rows': tidemark.count_of('(select count(*) from ' ~ this ~ ')')}) -%}
        {%- endif -%}
        {%- do log('tidemark:job ' ~ tojson({
            'job': model.name,
            'mode': state.mode,
            'rows': state.get('rows'),
            'partitions': state.partitions,
            'is_refresh_cheaper': tidemark.was_refresh_cheaper(),
        })) -%}
        {%- set entry = tidemark.ledger_insert([{
            'job_name': model.name,
            'job_type': 'backfill' if state.mode == 'restate' and not is_partial else 'model',
            'status': 'success',
            'as_of': tidemark.as_of_value(),
            'processed_from': state.since,
            'last_processed_timestamp': watermark,
            'records_processed': state.get('rows'),
            'partitions_touched': state.partitions,
            'started_at': state.began,
            'code_checksum': model.checksum.checksum,
            'metadata_sql': tidemark.run_metadata(state, watermark),
        }]) -%}
        {%- set requests_done -%}
            update {{ tidemark.ops_table('requested_partitions') }}
            set done_at = {{ tidemark.timestamp_literal(tidemark.wall_clock()) }}, run_id = {{ tidemark.text_literal(tidemark.run_id()) }}
            where {{ tidemark.is_requested() if state.requests }}
        {%- endset -%}
        {{ tidemark.in_one_transaction([entry, requests_done] if state.requests else [entry]) }}
    {%- endif -%}
{%- endmacro %}

{#- What else is worth knowing of a run, as a SQL expression that makes JSON. `overlap_rows` counts, per source, the
    rows in the overlap before the new watermark: when more are there later, they committed late; the gate sees it. -#}
{%- macro run_metadata(state, watermark) -%}
    {%- set counts = [] -%}
    {%- for source in tidemark.sources_above(model.unique_id) if watermark -%}
        {%- do counts.append("'\"" ~ source.name ~ "\": ' || " ~ tidemark.overlap_rows(source, watermark)) -%}
    {%- endfor -%}
    {%- set known = tojson({'mode': state.mode, 'window': (state.window or []) | map('string') | list}) -%}
    {%- set parts = ["'" ~ known[:-1] ~ ", \"overlap_rows\": {'"] + [counts | join(" || ', ' || ")] + ["'}}'"] -%}
    {{ return(parts | select | join(' || ')) }}
{%- endmacro %}

{%- macro overlap_rows(source, watermark) -%}
    {%- set loaded_at = source.loaded_at_field -%}
    (
        select count(*) from {{ source.relation_name }}
        where
            {{ loaded_at }} >= {{ tidemark.timestamp_literal(tidemark.overlap_start(watermark)) }}
            and {{ loaded_at }} <= {{ tidemark.timestamp_literal(watermark) }}
    )
{%- endmacro %}

{#- How many rows were loaded after one time, up to another if there is one, as an expression. -#}
{%- macro rows_loaded(source, after, until) -%}
    {%- set loaded_at = source.loaded_at_field -%}
    (
        select count(*) from {{ source.relation_name }}
        where
            {{ loaded_at }} > {{ tidemark.timestamp_literal(after) }}
            {%- if until %}
            and {{ loaded_at }} <= {{ tidemark.timestamp_literal(until) }}
            {%- endif %}
    )
{%- endmacro %}

{%- macro overlap_start(watermark) -%}
    {%- set overlap = modules.datetime.timedelta(minutes=tidemark.setting('watermark_overlap_minutes')) -%}
    {{ return(tidemark.shifted(tidemark.utc_moment(watermark), -overlap)) }}
{%- endmacro %}


{#- Read by the next run -#}

{#- A table that the ledger knows nothing of, or knows as incomplete, is rebuilt whole. dbt asks before every build. -#}
{%- macro should_full_refresh() -%}
    {%- if tidemark.is_coverage() -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set configured = config.get('full_refresh') -%}
    {%- if configured is not none -%}
        {{ return(configured) }}
    {%- endif -%}
    {%- set is_incremental_model = model.resource_type == 'model' and config.get('materialized') == 'incremental' -%}
    {{ return(
        flags.FULL_REFRESH
        or model.name in var('full_refresh_of', [])
        or (execute and is_incremental_model and (not tidemark.last_watermark() or tidemark.reads_a_rebuilt_table(model)))
    ) }}
{%- endmacro %}

{#- A table of sessions that was rebuilt whole does not say what that changed; it may have been in this very
    command. -#}
{%- macro reads_a_rebuilt_table(node) -%}
    {%- set rebuilt, jobs = [], tidemark.ledger_state().jobs -%}
    {%- for id in tidemark.session_tables_above(node) -%}
        {%- set now = graph.get('tidemark_states', {}).get(invocation_id ~ id, {}) -%}
        {%- set table = graph.nodes[id].name -%}
        {%- if now.mode == 'full' or jobs.get(table, {}).get('full_entry', 0) > jobs[node.name].read_entry -%}
            {%- do rebuilt.append(table) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(rebuilt | length > 0) }}
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

{#- Up to where a table claims to hold everything: a restatement and the gate do not add to that, a reset takes nothing
    away. Of a table that the ledger does not know everything is expected. -#}
{%- macro known_clock() -%}
    {{ return(tidemark.utc_moment(tidemark.ledger_state().jobs.get(model.name, {}).get('built_until') or tidemark.as_of_value())) }}
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

{#- What the ledger said when this command began; read once, since nobody but a model itself moves its watermark. -#}
{%- macro ledger_state() -%}
    {%- set key = 'tidemark_ledger' ~ invocation_id -%}
    {%- if key not in graph -%}
        {%- set jobs, failures, requests, floors = {}, {}, {}, {} -%}
        {%- if load_relation(tidemark.ops_table('etl_job_runs')) is not none -%}
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
                    'read_entry': row['success_entry'] or 0,
                    'full_entry': row['full_entry'] or 0,
                    'is_reset': row['job_type'] == 'reset',
                    'code_checksum': row['code_checksum'],
                    'metadata': fromjson(row['metadata_json'] or '{}', {}),
                    'clock': row['as_of'],
                }}) -%}
            {%- endfor -%}
            {%- for row in tidemark.named_rows(tidemark.failures_floors_and_requests(entries)) -%}
                {%- if row['kind'] == 'failure' -%}
                    {%- do failures.update({row['subject']: row['ledger_entry']}) -%}
                {%- elif row['kind'] == 'floor' -%}
                    {%- do floors.update({row['subject']: row['day']}) -%}
                {%- else -%}
                    {%- do requests.setdefault(row['subject'], []).append(row) -%}
                {%- endif -%}
            {%- endfor -%}
        {%- endif -%}
        {%- do graph.update({key: {'jobs': jobs, 'failures': failures, 'requests': requests, 'floors': floors}}) -%}
    {%- endif -%}
    {{ return(graph[key]) }}
{%- endmacro %}

{#- The ledger of five weeks, by a literal: an engine skips what it stores of the time before. Each model that ends is an
    entry, and on Snowflake a micro-partition. -#}
{%- macro recent_entries() -%}
    {%- set since = tidemark.timestamp_literal(tidemark.wall_clock() - modules.datetime.timedelta(days=35)) -%}
    {{ return(
        '(select * from ' ~ tidemark.ops_table('etl_job_runs') ~ ' where started_at >= ' ~ since ~ ' or started_at is null)'
    ) }}
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

{#- What failed last, a test of it included; from which day the raw tables are complete; what someone asked for: one
    statement, since every run asks. -#}
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
{%- endmacro %}

{#- Per job: its last success or reset in ledger order, its last clock, and the clock up to which it is known. An
    `unchanged` decision of the gate (recorded as skipped) advances both and not the watermark. -#}
{%- macro last_runs(ledger) -%}
    select
        runs.job_name,
        runs.job_type,
        runs.last_processed_timestamp,
        runs.ledger_entry,
        runs.code_checksum,
        runs.metadata_json,
        successes.success_entry,
        successes.full_entry,
        successes.built_until,
        clocks.as_of,
        clocks.known_until
    from {{ ledger }} as runs
    left join (
        select
            entries.job_name,
            {{ tidemark.last_known('entries.as_of', 'entries.ledger_entry') }} as as_of,
            {#- a restatement writes at its clock, and knows only the days of its window up to then. #}
            {{ tidemark.last_known(
                'entries.as_of', "case when entries.job_type <> 'backfill' then entries.ledger_entry end"
            ) }} as known_until
        from {{ ledger }} as entries
        where entries.status = 'success' or (entries.job_type = 'gate' and entries.status = 'skipped')
        group by entries.job_name
    ) as clocks on runs.job_name = clocks.job_name
    left join (
        select
            job_name,
            max(ledger_entry) as success_entry,
            max(case when metadata_json like '{"mode": "full"%' then ledger_entry end) as full_entry,
            {{ tidemark.last_known('last_processed_timestamp', 'ledger_entry') }} as built_until
        from {{ ledger }}
        where job_type = 'model' and status = 'success'
        group by job_name
    ) as successes on runs.job_name = successes.job_name
    where (runs.job_type = 'model' and runs.status = 'success') or runs.job_type = 'reset'
    qualify row_number() over (partition by runs.job_name order by runs.ledger_entry desc) = 1
{%- endmacro %}

{#- A full refresh may go back with what it rebuilds; it leaves the others alone. Nothing rebuilds a snapshot. -#}
{%- macro refuse_earlier_clock() -%}
    {%- set goes_back = flags.FULL_REFRESH and flags.WHICH != 'run-operation' -%}
    {%- for node in graph.nodes.values() if tidemark.is_recorded(node) and node.name in tidemark.ledger_state().jobs -%}
        {%- set clock = tidemark.ledger_state().jobs[node.name].clock -%}
        {%- set is_left_alone = goes_back and (tidemark.is_rebuilt(node) or node.unique_id not in selected_resources) -%}
        {%- if clock and tidemark.utc_moment(clock) > tidemark.as_of_value() and not is_left_alone -%}
            {%- do tidemark.release_run_lock() -%}
            {%- set is_snapshot = node.resource_type == 'snapshot' -%}
            {{ exceptions.raise_compiler_error(
                'The clock of this run, ' ~ tidemark.as_of_value() ~ ', lies before the clock of the ledger: '
                ~ node.name ~ ' is known up to ' ~ clock ~ '. Nothing was touched. Use a later as_of, '
                ~ ('or leave snapshots out (--exclude-resource-type snapshot): their history cannot be rebuilt.'
                    if is_snapshot and goes_back else 'or rebuild as of then with --full-refresh.')
            ) }}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{%- macro is_rebuilt(node) -%}
    {{ return(node.resource_type == 'model' and node.config.full_refresh is not false) }}
{%- endmacro %}

{%- macro unfinished_runs() -%}
    {%- set sql -%}
        select run_id, job_name
        from {{ tidemark.recent_entries() }} as entries
        where job_name like 'dbt %'
        group by run_id, job_name
        having count(case when status = 'running' then 1 end) > count(case when status <> 'running' then 1 end)
    {%- endset -%}
    {{ return(run_query(sql).rows) }}
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
    {%- set found, queue = [], [unique_id] -%}
    {%- for id in queue -%}
        {%- if id in graph.sources -%}
            {%- do found.append(graph.sources[id]) -%}
        {%- elif id in graph.nodes -%}
            {%- for parent in graph.nodes[id].depends_on.nodes if parent not in queue -%}
                {#- the loop goes on over what it appends -#}
                {%- do queue.append(parent) -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found | sort(attribute='name')) }}
{%- endmacro %}


{#- Entries -#}

{#- dbt's invocation; the command line gives the calls of one command one id. -#}
{%- macro run_id() -%}
    {{ return(var('run_id', invocation_id)) }}
{%- endmacro %}

{%- macro run_entry(status, run_id=none, job_name=none, error_message=none) -%}
    {%- set is_backfill = invocation_args_dict.get('event_time_start') -%}
    {{ return({
        'run_id': run_id,
        'job_name': job_name or ('coverage' if tidemark.is_coverage() else 'dbt ' ~ flags.WHICH),
        'job_type': 'backfill' if is_backfill else 'gate' if tidemark.is_coverage() else 'model',
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
        'code_checksum': node.checksum.checksum,
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
            'started_at': tidemark.timestamp_literal(entry.started_at or tidemark.utc_moment(run_started_at)),
            'completed_at': tidemark.timestamp_literal(
                entry.completed_at or (now if entry.status != 'running' else none)
            ),
            'error_message': tidemark.message_literal(entry.error_message),
            'code_checksum': tidemark.text_literal(entry.code_checksum),
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

{#- For operations: statements that make what is not there, each of which Snowflake commits. -#}
{%- macro make_objects(sql) -%}
    {%- call statement('make_objects', auto_begin=true) %}{{ sql }}{% endcall -%}
    {%- do adapter.commit() -%}
{%- endmacro %}

{%- macro number_literal(value) -%}
    {{ return('null' if value is undefined or value is none else value | string) }}
{%- endmacro %}


{#- Levers -#}

{#- run-operation: ask for one partition to be recomputed by the next build of its model. -#}
{%- macro request_partition(model, entity, day, reason) -%}
    {%- set partitioned, model = tidemark.stored_tables(), tidemark.text_argument('model', model) -%}
    {%- set entity, day = tidemark.text_argument('entity', entity), tidemark.day_argument('day', day) -%}
    {%- set reason = tidemark.text_argument('reason', reason) -%}
    {%- if model not in partitioned -%}
        {{ exceptions.raise_compiler_error(
            model[:100] ~ ' has no partitions to recompute. Nothing was requested. These have: '
            ~ partitioned | sort | join(', ') ~ '.'
        ) }}
    {%- endif -%}
    {%- do tidemark.create_ops_tables() -%}
    {%- do tidemark.refuse_earlier_clock() -%}
    {%- do tidemark.refuse_entity(partitioned[model], entity) -%}
    {#- a day above it may reach days that may still be recomputed -#}
    {%- set floor = tidemark.first_kept_day(partitioned[model]) -%}
    {%- if floor and day < floor -%}
        {{ exceptions.raise_compiler_error(
            model ~ ' can be recomputed from ' ~ floor ~ ' on: the raw rows of earlier days were pruned. '
            ~ 'Nothing was requested.'
        ) }}
    {%- endif -%}
    {%- set sql -%}
        insert into {{ tidemark.ops_table('requested_partitions') }}
        select
            {{ tidemark.text_literal(invocation_id) }},
            {{ tidemark.text_literal(model) }},
            {{ tidemark.text_literal(entity) }},
            {{ tidemark.date_literal(day) }},
            {{ tidemark.message_literal(reason) }},
            {{ tidemark.timestamp_literal(tidemark.wall_clock()) }},
            {{ tidemark.timestamp_literal(none) }},
            {{ tidemark.text_literal(none) }}
    {%- endset -%}
    {%- do tidemark.write_down(sql) -%}
{%- endmacro %}

{#- The tables that are kept by increments, by name. -#}
{%- macro stored_tables() -%}
    {%- set tables = {} -%}
    {%- for node in graph.nodes.values() if tidemark.is_recorded(node) and node.config.materialized == 'incremental' -%}
        {%- do tables.update({node.name: node}) -%}
    {%- endfor -%}
    {{ return(tables) }}
{%- endmacro %}

{#- What is not of the entity's type would fail every build that takes up the request. -#}
{%- macro refuse_entity(node, entity) -%}
    {%- set relation, keys = load_relation(tidemark.relation_of(node)), node.config.unique_key or [none] -%}
    {%- set key = keys if keys is string else keys[0] -%}
    {%- for column in (adapter.get_columns_in_relation(relation) if relation else []) -%}
        {%- set literal = tidemark.text_literal(entity) -%}
        {%- if column.name | lower == key and not column.is_string()
            and tidemark.count_of('case when try_cast(' ~ literal ~ ' as ' ~ column.dtype ~ ') is null then 1 else 0 end') -%}
            {%- do tidemark.refuse_argument('entity', entity, 'a ' ~ key ~ ' (' ~ column.dtype ~ ') of ' ~ node.name) -%}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{#- run-operation: the next run of a job looks again at everything loaded since `to`; without `to` it rebuilds the job
    whole. A row of the ledger with its reason, never an edit. A dry run says what would happen, or why not. -#}
{%- macro set_watermark(job, reason, to=none, dry_run=false) -%}
    {%- set job, reason = tidemark.text_argument('job', job), tidemark.text_argument('reason', reason) -%}
    {%- set after = tidemark.moment_argument('to', to) if to is not none else none -%}
    {%- do tidemark.flag_argument('dry_run', dry_run) -%}
    {%- do tidemark.create_ops_tables() -%}
    {%- if not dry_run -%}
        {%- do tidemark.take_run_lock() -%}
    {%- endif -%}
    {%- do tidemark.refuse_earlier_clock() -%}
    {%- set nodes, known = {}, tidemark.ledger_state().jobs.get(job, {}) -%}
    {%- for node in graph.nodes.values() if tidemark.is_recorded(node) -%}
        {%- do nodes.update({node.name: node}) -%}
    {%- endfor -%}
    {%- if job not in nodes -%}
        {%- set those = nodes.keys() | sort | join(', ') -%}
        {%- do tidemark.refuse_watermark('There is no job ' ~ job[:100] ~ '. These are: ' ~ those ~ '.') -%}
    {%- elif not known.get('watermark') -%}
        {%- do tidemark.refuse_watermark(job ~ ' has no watermark: its next run builds it whole.') -%}
    {%- endif -%}
    {%- set before = tidemark.utc_moment(known.watermark) -%}
    {%- set sources = tidemark.sources_above(nodes[job].unique_id) -%}
    {%- if after and after > tidemark.as_of_value() -%}
        {%- do tidemark.refuse_watermark(after ~ ' lies after the clock, ' ~ tidemark.as_of_value() ~ '.') -%}
    {%- elif after and after > before -%}
        {%- set skipped = [] -%}
        {%- for source in sources -%}
            {%- set late_rows = tidemark.rows_behind(source, known, tidemark.count_of(tidemark.overlap_rows(source, before))) -%}
            {%- set rows = tidemark.count_of(tidemark.rows_loaded(source, before, after)) + late_rows | abs -%}
            {%- if rows -%}
                {%- do skipped.append(rows ~ ' of ' ~ source.name) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if skipped -%}
            {%- do tidemark.refuse_watermark(
                job ~ ' has not processed rows that were loaded between its watermark, ' ~ before ~ ', and ' ~ after
                ~ ': ' ~ skipped | join(', ') ~ '. They would be skipped.'
            ) -%}
        {%- endif -%}
    {%- endif -%}
    {%- set again = {} -%}
    {%- for source in sources if after -%}
        {%- do again.update({source.name: tidemark.count_of(tidemark.rows_loaded(source, after, tidemark.as_of_value()))}) -%}
    {%- endfor -%}
    {%- if not dry_run -%}
        {%- do tidemark.write_down(tidemark.ledger_insert([tidemark.reset_entry(job, known, after, reason)])) -%}
        {%- do tidemark.release_run_lock() -%}
    {%- endif -%}
    {%- do log('tidemark:watermark ' ~ tojson({
        'job': job,
        'before': before.isoformat(),
        'after': after.isoformat() if after else none,
        'rows': again if after else none,
    })) -%}
{%- endmacro %}

{#- What a table is known up to, when it was built and by which code is left alone. -#}
{%- macro reset_entry(job, known, to, reason) -%}
    {{ return({
        'job_name': job,
        'job_type': 'reset',
        'status': 'pending',
        'as_of': tidemark.as_of_value(),
        'last_processed_timestamp': to,
        'error_message': reason,
        'code_checksum': known.code_checksum,
        'metadata_sql': tidemark.text_literal(tojson({'previous_watermark': tidemark.utc_moment(known.watermark).isoformat()})),
    }) }}
{%- endmacro %}

{%- macro refuse_watermark(why) -%}
    {%- do tidemark.release_run_lock() -%}
    {{ exceptions.raise_compiler_error(why ~ ' The watermark was left as it is.') }}
{%- endmacro %}

{%- macro count_of(expression) -%}
    {{ return(run_query('select ' ~ expression).rows[0][0] | int) }}
{%- endmacro %}

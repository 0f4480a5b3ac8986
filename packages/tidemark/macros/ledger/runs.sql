{#- What is written when a run starts and ends, and with every model. -#}

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
    {%- if execute and flags.WHICH == 'test' -%}
        {#- up to where the tests look: a run may write while they do -#}
        {%- do tidemark.ledger_state() -%}
    {%- endif -%}
    {%- if execute and flags.WHICH in ('run', 'build') -%}
        {%- do tidemark.tell_types_of_raw_tables() -%}
        {%- set entries = [] -%}
        {%- for run_id, job_name in tidemark.unfinished_runs() -%}
            {%- set killed = 'The run was killed: it never recorded its end.' -%}
            {%- set entry = tidemark.run_entry('failed', run_id=run_id, job_name=job_name, error_message=killed) -%}
            {%- do entries.append(entry) -%}
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
                {%- set is_skipped = result.status == 'skipped' or tidemark.was_held(node) -%}
                {%- set status = 'skipped' if is_skipped else 'failed' -%}
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
            {%- set expired = tidemark.expired_records() if flags.WHICH != 'test' else [] -%}
            {%- do tidemark.write_down([tidemark.ledger_insert(entries)] + expired) -%}
        {%- endif -%}
        {#- after the ledger's entries: a test that passed has passed up to the last of them. Alone, which costs
            Snowflake less: who dies in between has everything tested once more -#}
        {%- for statement in tidemark.test_results_merge(results) -%}
            {%- do tidemark.write_down(statement) -%}
        {%- endfor -%}
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
        {%- do tidemark.audit_rebuilt() -%}
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
            'is_refresh_cheaper': tidemark.is_refresh_cheaper(),
        })) -%}
        {%- set fingerprint = tidemark.fingerprint_to_store(state) -%}
        {%- set entry = tidemark.ledger_insert([{
            'job_name': model.name,
            'job_type': 'restatement' if state.mode == 'restate' and not is_partial else 'model',
            'status': 'success',
            'as_of': tidemark.as_of_value(),
            'processed_from': state.since,
            'last_processed_timestamp': watermark,
            'records_processed': state.get('rows'),
            'partitions_touched': state.partitions,
            'mode': state.mode,
            'started_at': state.began,
            'fingerprint': fingerprint,
            'metadata_sql': tidemark.run_metadata(state, watermark),
        }]) -%}
        {%- set requests_done -%}
            update {{ tidemark.ops_table('requested_partitions') }}
            set
                done_at = {{ tidemark.timestamp_literal(tidemark.wall_clock()) }},
                run_id = {{ tidemark.text_literal(tidemark.run_id()) }}
            where {{ tidemark.is_requested() if state.requests }}
        {%- endset -%}
        {%- set node, statements = graph.nodes[model.unique_id], [entry] -%}
        {%- if state.requests -%}
            {%- do statements.append(requests_done) -%}
        {%- endif -%}
        {%- set known = tidemark.ledger_state().jobs.get(model.name, {}).get('fingerprint') -%}
        {%- if fingerprint != known and fingerprint == tidemark.fingerprint(node) -%}
            {%- do statements.append(tidemark.code_insert(node)) -%}
        {%- endif -%}
        {{ tidemark.in_one_transaction(statements) }}
    {%- endif -%}
{%- endmacro %}

{#- What else is worth knowing of a run, as a SQL expression that makes JSON. `overlap_rows` counts, per source, the
    rows in the overlap before the new watermark: when more are there later, they committed late; the gate sees it. -#}
{%- macro run_metadata(state, watermark) -%}
    {%- set counts = [] -%}
    {%- for source in tidemark.sources_above(model.unique_id) if watermark -%}
        {%- do counts.append("'\"" ~ source.name ~ "\": ' || " ~ tidemark.overlap_rows(source, watermark)) -%}
    {%- endfor -%}
    {%- set told = {'window': (state.window or []) | map('string') | list} -%}
    {%- set older_code_before = tidemark.older_code_before(state) -%}
    {%- do told.update({'older_code_before': older_code_before}) if older_code_before -%}
    {%- set known = tojson(told) -%}
    {%- set parts = ["'" ~ known[:-1] ~ ", \"overlap_rows\": {'"] + [counts | join(" || ', ' || ")] + ["'}}'"] -%}
    {{ return(parts | select | join(' || ')) }}
{%- endmacro %}

{%- macro overlap_rows(source, watermark) -%}
    {%- set loaded_at = tidemark.load_time(source) -%}
    (
        select count(*) from {{ source.relation_name }}
        where
            {{ loaded_at }} >= {{ tidemark.timestamp_literal(tidemark.overlap_start(watermark)) }}
            and {{ loaded_at }} <= {{ tidemark.timestamp_literal(watermark) }}
    )
{%- endmacro %}

{#- How many rows were loaded after one time, up to another if there is one, as an expression. -#}
{%- macro rows_loaded(source, after, until) -%}
    {%- set loaded_at = tidemark.load_time(source) -%}
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

{#- A table that the ledger knows nothing of, or knows as incomplete, is rebuilt whole. dbt asks before every build. -#}
{%- macro should_full_refresh() -%}
    {%- if tidemark.is_in_full() -%}
        {{ return(true) }}
    {%- endif -%}
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
        or (
            execute
            and is_incremental_model
            and (
                not tidemark.last_watermark()
                or tidemark.reads_a_rebuilt_table(model)
                or tidemark.is_rebuilt_for_code(graph.nodes[model.unique_id])
            )
        )
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

{#- A full refresh may go back with what it rebuilds; it leaves the others alone. Nothing rebuilds a snapshot. -#}
{%- macro refuse_earlier_clock() -%}
    {%- set goes_back = flags.FULL_REFRESH and flags.WHICH != 'run-operation' -%}
    {%- for node in graph.nodes.values() if tidemark.is_recorded(node) and node.name in tidemark.ledger_state().jobs -%}
        {%- set clock = tidemark.ledger_state().jobs[node.name].clock -%}
        {%- set is_selected = node.unique_id in selected_resources -%}
        {%- set is_left_alone = goes_back and (tidemark.is_rebuilt(node) or not is_selected) -%}
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

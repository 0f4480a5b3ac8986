{#- The ledger: what ran, up to which clock, with what result. Rows are only ever appended, and a model's success row is written
    in the transaction of its data: a crash leaves both or neither. -#}

{%- macro ops_table(name) -%}
    {{ return(api.Relation.create(database=target.database, schema='ops', identifier=name, type='table')) }}
{%- endmacro %}

{#- on-run-start: the tables that no model builds; refuses a clock that runs backwards; closes what a killed run left open. -#}
{%- macro open_ledger() -%}
    {%- if execute and flags.WHICH not in ('compile', 'generate', 'list', 'parse', 'show') -%}
        {%- do create_ops_tables() -%}
        {%- if flags.WHICH in ('run', 'build') -%}
            {%- if not flags.FULL_REFRESH -%}
                {%- do refuse_earlier_clock() -%}
            {%- endif -%}
            {%- for run in unfinished_runs() -%}
                {%- do run_query(ledger_insert([run_entry('failed', run_id=run[0], job_name=run[1],
                    error_message='The run was killed: it never recorded its end.')])) -%}
            {%- endfor -%}
            {%- do run_query(ledger_insert([run_entry('running')])) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{%- macro create_ops_tables() -%}
    {%- do adapter.create_schema(ops_table('etl_job_runs').without_identifier()) -%}
    {%- set sql -%}
        create table if not exists {{ ops_table('etl_job_runs') }} (
            ledger_entry bigint, run_id varchar, job_name varchar, job_type varchar, status varchar,
            as_of timestamp, processed_from timestamp, last_processed_timestamp timestamp,
            records_processed bigint, partitions_touched bigint, started_at timestamp, completed_at timestamp,
            error_message varchar, code_checksum varchar, metadata_json varchar
        );
        create table if not exists {{ ops_table('requested_partitions') }} (
            request_id varchar, model_name varchar, entity varchar, day date, reason varchar,
            requested_at timestamp, done_at timestamp, run_id varchar
        );
        create table if not exists {{ ops_table('source_checks') }} (
            run_id varchar, checked_at timestamp, as_of timestamp, subject varchar, subject_type varchar,
            state varchar, reason varchar, max_loaded_at timestamp, age_seconds bigint
        )
    {%- endset -%}
    {%- do run_query(sql) -%}
{%- endmacro %}

{#- on-run-end: what failed, what was skipped because of it, and the end of the run itself. -#}
{%- macro close_ledger(results) -%}
    {%- if execute and flags.WHICH in ('run', 'build') -%}
        {%- set entries, failures = [], [] -%}
        {%- for result in results -%}
            {%- if result.status in ('error', 'fail', 'runtime error') -%}
                {%- do failures.append(result.node.name) -%}
            {%- endif -%}
            {%- if result.node.resource_type in ('model', 'snapshot') and result.status in ('error', 'skipped') -%}
                {%- do entries.append({
                    'job_name': result.node.name, 'job_type': 'model', 'as_of': as_of_value(),
                    'status': 'failed' if result.status == 'error' else 'skipped',
                    'error_message': result.message, 'code_checksum': result.node.checksum.checksum,
                }) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- do entries.append(run_entry('failed' if failures else 'success',
            error_message='Failed: ' ~ failures | join(', ') if failures else none)) -%}
        {%- do run_query(ledger_insert(entries)) -%}
    {%- endif -%}
{%- endmacro %}

{#- Post-hook of every mart: the model's success, written with its data. A restatement does not move the watermark; a build with
    --empty or --sample leaves none, so that the next one rebuilds the table. -#}
{%- macro record_run() -%}
    {%- if execute and flags.WHICH in ('run', 'build', 'snapshot') -%}
        {%- set state = run_state() -%}
        {%- set partial = invocation_args_dict.get('empty') or invocation_args_dict.get('sample') -%}
        {%- set watermark = none if partial or state.mode == 'restate' else as_of_value() -%}
        {%- set rows = state.rows if state.rows is defined
            else run_query('select count(*) from ' ~ this).rows[0][0] if config.get('materialized') != 'view' else none -%}
        {%- do log('tidemark:job ' ~ tojson({
            'job': model.name, 'mode': state.mode, 'rows': rows | int if rows is not none else none, 'partitions': state.partitions,
        })) -%}
        {{ ledger_insert([{
            'job_name': model.name,
            'job_type': 'backfill' if state.mode == 'restate' else 'model',
            'status': 'success',
            'as_of': as_of_value(),
            'processed_from': state.since,
            'last_processed_timestamp': watermark,
            'records_processed': rows,
            'partitions_touched': state.partitions,
            'code_checksum': model.checksum.checksum,
            'metadata_sql': run_metadata(state, watermark),
        }]) }}
        {%- if state.requests -%}
        ;
        update {{ ops_table('requested_partitions') }}
        set done_at = {{ timestamp_literal(wall_clock()) }}, run_id = '{{ invocation_id }}'
        where
            model_name = '{{ model.name }}'
            and done_at is null
            and requested_at <= {{ timestamp_literal(state.requests | map(attribute='requested_at') | max) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{#- What else is worth knowing of a run, as a SQL expression that makes JSON. `overlap_rows` counts, per source, the rows in the
    overlap before the new watermark: when more are there later, they committed late, and the gate sees it. -#}
{%- macro run_metadata(state, watermark) -%}
    {%- set known = {'mode': state.mode, 'window': (state.window or []) | map('string') | list} -%}
    {%- set counts = [] -%}
    {%- for source in sources_above(model.unique_id) if watermark -%}
        {%- do counts.append("'\"" ~ source.name ~ "\": ' || " ~ count_loaded(source, watermark, overlap=true)) -%}
    {%- endfor -%}
    {%- set known_json = tojson(known)[:-1] ~ ', "overlap_rows": {' -%}
    {{ return("'" ~ known_json ~ "' || " ~ (counts | join(" || ', ' || ") ~ ' || ' if counts else '') ~ "'}}'") }}
{%- endmacro %}

{#- How many rows of a source were loaded after the watermark, or within the overlap before it. -#}
{%- macro count_loaded(source, watermark, overlap=false) -%}
    {%- set column, start = source.loaded_at_field, utc_moment(watermark) - modules.datetime.timedelta(minutes=var('watermark_overlap_minutes')) -%}
    {%- set condition = column ~ ' >= ' ~ timestamp_literal(start) ~ ' and ' ~ column ~ ' <= ' ~ timestamp_literal(watermark) if overlap
        else column ~ ' > ' ~ timestamp_literal(watermark) ~ ' and ' ~ column ~ ' <= ' ~ as_of() -%}
    {{ return('(select count(*) from ' ~ source.relation_name ~ ' where ' ~ condition ~ ')') }}
{%- endmacro %}

{#- The raw tables that a node reads, over any number of models. -#}
{%- macro sources_above(unique_id) -%}
    {%- set found, queue, seen = [], [unique_id], [unique_id] -%}
    {%- for _ in range(1000) if queue -%}
        {%- set id = queue.pop() -%}
        {%- if id in graph.sources and graph.sources[id].source_name == 'raw' -%}
            {%- do found.append(graph.sources[id]) -%}
        {%- elif id in graph.nodes -%}
            {%- for parent in graph.nodes[id].depends_on.nodes if parent not in seen -%}
                {%- do seen.append(parent) -%}
                {%- do queue.append(parent) -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found | sort(attribute='name')) }}
{%- endmacro %}

{#- A table that the ledger knows nothing of, or knows as incomplete, is rebuilt whole: dbt asks this before every build. -#}
{%- macro should_full_refresh() -%}
    {%- set configured = config.get('full_refresh') -%}
    {%- if configured is not none or flags.FULL_REFRESH -%}
        {{ return(configured if configured is not none else true) }}
    {%- endif -%}
    {{ return(execute and model.resource_type == 'model' and model.config.materialized == 'incremental' and not last_watermark()) }}
{%- endmacro %}

{#- The clock up to which this model has processed its sources: its last success or reset, in ledger order. -#}
{%- macro last_watermark() -%}
    {{ return(ledger_state().jobs.get(model.name, {}).get('watermark')) }}
{%- endmacro %}

{%- macro open_requests() -%}
    {{ return(ledger_state().requests.get(model.name, [])) }}
{%- endmacro %}

{#- What the ledger said when this command began: read once, since nobody but a model itself moves its watermark. -#}
{%- macro ledger_state() -%}
    {%- set key = 'tidemark_ledger' ~ invocation_id -%}
    {%- if key not in graph -%}
        {%- set state = {'jobs': {}, 'requests': {}} -%}
        {%- if load_relation(ops_table('etl_job_runs')) is not none -%}
            {%- for row in run_query(last_runs(ops_table('etl_job_runs'))).rows -%}
                {%- do state.jobs.update({row[0]: {
                    'watermark': row[1], 'built_entry': row[2], 'code_checksum': row[3], 'metadata': fromjson(row[4] or '{}', {}), 'clock': row[5],
                }}) -%}
            {%- endfor -%}
            {%- set open_requests_sql -%}
                select model_name, entity, day, requested_at from {{ ops_table('requested_partitions') }} where done_at is null
            {%- endset -%}
            {%- for row in run_query(open_requests_sql).rows -%}
                {%- do state.requests.setdefault(row[0], []).append({'entity': row[1], 'day': row[2], 'requested_at': row[3]}) -%}
            {%- endfor -%}
        {%- endif -%}
        {%- do graph.update({key: state}) -%}
    {%- endif -%}
    {{ return(graph[key]) }}
{%- endmacro %}

{#- Per job: its last success or reset in ledger order, and the clock up to which it is known. An `unchanged` decision of the gate
    (recorded as skipped) advances that clock and not the watermark. -#}
{%- macro last_runs(ledger) -%}
    select
        runs.job_name,
        runs.last_processed_timestamp,
        runs.ledger_entry,
        runs.code_checksum,
        runs.metadata_json,
        clocks.as_of
    from {{ ledger }} as runs
    left join (
        select job_name, as_of
        from {{ ledger }}
        where status = 'success' or (job_type = 'gate' and status = 'skipped')
        qualify row_number() over (partition by job_name order by ledger_entry desc) = 1
    ) as clocks on runs.job_name = clocks.job_name
    where (runs.job_type = 'model' and runs.status = 'success') or runs.job_type = 'reset'
    qualify row_number() over (partition by runs.job_name order by runs.ledger_entry desc) = 1
{%- endmacro %}

{%- macro refuse_earlier_clock() -%}
    {%- for node in graph.nodes.values() if node.name in ledger_state().jobs -%}
        {%- set clock = ledger_state().jobs[node.name].clock -%}
        {%- if node.resource_type in ('model', 'snapshot') and clock and utc_moment(clock) > as_of_value() -%}
            {{ exceptions.raise_compiler_error(
                'The clock of this run, ' ~ as_of_value() ~ ', lies before the clock of the ledger: ' ~ node.name
                ~ ' is known up to ' ~ clock ~ '. Nothing was touched. Use a later as_of, or rebuild as of then with --full-refresh.') }}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{%- macro unfinished_runs() -%}
    {%- set sql -%}
        select run_id, job_name
        from {{ ops_table('etl_job_runs') }}
        where job_name like 'dbt %'
        group by run_id, job_name
        having count(*) = 1 and max(status) = 'running'
    {%- endset -%}
    {{ return(run_query(sql).rows) }}
{%- endmacro %}

{%- macro run_entry(status, run_id=invocation_id, job_name='dbt ' ~ flags.WHICH, error_message=none) -%}
    {{ return({
        'run_id': run_id, 'job_name': job_name, 'job_type': 'backfill' if invocation_args_dict.get('event_time_start') else 'model', 'status': status, 'as_of': as_of_value(),
        'error_message': error_message,
    }) }}
{%- endmacro %}

{#- An insert of ledger entries. The entry number is the ledger's order; wall clocks step back and tie. Only one writer at a time
    writes for one job, so a tie between jobs does no harm. -#}
{%- macro ledger_insert(entries) -%}
    insert into {{ ops_table('etl_job_runs') }}
    {%- for entry in entries %}
    select
        coalesce((select max(ledger_entry) from {{ ops_table('etl_job_runs') }}), 0) + {{ loop.index }},
        {{ text_literal(entry.run_id or invocation_id) }}, {{ text_literal(entry.job_name) }}, {{ text_literal(entry.job_type) }}, {{ text_literal(entry.status) }},
        {{ timestamp_literal(entry.as_of) }}, {{ timestamp_literal(entry.processed_from) }}, {{ timestamp_literal(entry.last_processed_timestamp) }},
        {{ entry.records_processed if entry.records_processed is not none and entry.records_processed is defined else 'null' }},
        {{ entry.partitions_touched if entry.partitions_touched is not none and entry.partitions_touched is defined else 'null' }},
        {{ timestamp_literal(run_started_at.replace(tzinfo=none)) }}, {{ timestamp_literal(wall_clock()) if entry.status != 'running' else timestamp_literal(none) }},
        {{ text_literal(entry.error_message) }}, {{ text_literal(entry.code_checksum) }}, {{ entry.metadata_sql or 'null' }}
        {{- ' union all' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{#- run-operation: ask for one partition to be recomputed by the next build of its model. -#}
{%- macro request_partition(model, entity, day, reason) -%}
    {%- set incremental = [] -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.config.materialized == 'incremental' -%}
        {%- do incremental.append(node.name) -%}
    {%- endfor -%}
    {%- if model not in incremental -%}
        {{ exceptions.raise_compiler_error(
            model ~ ' has no partitions to recompute. Nothing was requested. These have: ' ~ incremental | sort | join(', ') ~ '.') }}
    {%- endif -%}
    {%- do create_ops_tables() -%}
    {%- do run_query(
        'insert into ' ~ ops_table('requested_partitions') ~ ' values (' ~ [
            text_literal(invocation_id), text_literal(model), text_literal(entity), "cast('" ~ day ~ "' as date)", text_literal(reason),
            timestamp_literal(wall_clock()), timestamp_literal(none), 'null',
        ] | join(', ') ~ ')') -%}
{%- endmacro %}

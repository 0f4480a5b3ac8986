{#- The gate: what the command line asks of the warehouse, and what it writes down. It decides nothing here. -#}

{#- dbt's own freshness, following the project's clock: the age at as_of(), over the rows visible then. -#}
{%- macro collect_freshness(source, loaded_at_field, filter) -%}
    {%- call statement('collect_freshness', fetch_result=true, auto_begin=false) %}
        select max({{ loaded_at_field }}) as max_loaded_at, {{ as_of() }} as snapshotted_at
        from {{ source }}
        where {{ loaded_at_field }} <= {{ as_of() }}{% if filter %} and {{ filter }}{% endif %}
    {% endcall -%}
    {{ return(load_result('collect_freshness')) }}
{%- endmacro %}

{#- run-operation: per source, whether it has rows and when the newest visible one was loaded; per model, what waits for
    it. A query on an unreadable source (a lost column, a lost privilege) would end the whole operation: the caller
    names them. What it sees is kept for ops.pipeline_health; bad rows are counted for who asks for that. -#}
{%- macro gate_facts(unreadable=[], count_quarantined=false) -%}
    {%- do create_ops_tables() -%}
    {%- do refuse_earlier_clock() -%}
    {%- set facts = {'as_of': as_of_value().isoformat(), 'sources': {}, 'models': {}} -%}
    {%- for source in graph.sources.values() if source.source_name == 'raw' -%}
        {%- do facts.sources.update({source.name: source_facts(source, source.name not in unreadable)}) -%}
    {%- endfor -%}
    {%- set counts, failures = {}, last_failures() -%}
    {%- for node in graph.nodes.values() if is_recorded(node) -%}
        {%- do facts.models.update({node.name: model_facts(node, facts.sources, counts, failures)}) -%}
    {%- endfor -%}
    {%- do record_measurements(facts, count_quarantined) -%}
    {%- do log('tidemark:gate_facts ' ~ tojson(facts)) -%}
{%- endmacro %}

{%- macro source_facts(source, is_readable) -%}
    {%- set relation = relation_of(source) -%}
    {%- set exists = load_relation(relation) is not none -%}
    {%- if not (exists and is_readable) -%}
        {{ return({
            'exists': exists,
            'is_readable': false,
            'has_rows': false,
            'newest_visible': none,
            'waiting_rows': none,
        }) }}
    {%- endif -%}
    {%- set loaded_at = source.loaded_at_field -%}
    {%- set sql -%}
        select
            exists (select 1 from {{ relation }}) as has_rows,
            (select max({{ loaded_at }}) from {{ relation }} where {{ loaded_at }} <= {{ as_of() }}) as newest_visible,
            (select count(*) from {{ relation }} where {{ loaded_at }} > {{ as_of() }}) as waiting_rows
    {%- endset -%}
    {%- set row = run_query(sql).rows[0] -%}
    {{ return({
        'exists': true,
        'is_readable': true,
        'has_rows': row[0],
        'newest_visible': utc_moment(row[1]).isoformat() if row[1] else none,
        'waiting_rows': row[2] | int,
    }) }}
{%- endmacro %}

{%- macro model_facts(node, sources, counts, failures) -%}
    {%- set job = ledger_state().jobs.get(node.name, {}) -%}
    {%- set new_rows, late_rows = {}, {} -%}
    {%- for source in sources_above(node.unique_id) if job.get('watermark') and sources[source.name].is_readable -%}
        {%- set counted = rows_since(source, job.watermark, counts) -%}
        {%- do new_rows.update({source.name: counted.new_rows}) -%}
        {%- do late_rows.update({source.name: rows_behind(source, job, counted.overlap_rows)}) -%}
    {%- endfor -%}
    {{ return({
        'exists': load_relation(relation_of(node)) is not none,
        'watermark': utc_moment(job.watermark).isoformat() if job.get('watermark') else none,
        'built_entry': job.read_entry | int if job.get('read_entry') else none,
        'is_reset': job.get('is_reset', false),
        'new_rows': new_rows,
        'late_rows': late_rows,
        'changed_keys': count_unread_changes(node) if job.get('watermark') else 0,
        'open_requests': ledger_state().requests.get(node.name, []) | length,
        'failed': failures.get(node.name, 0) > job.get('read_entry', 0),
        'code_changed': job.get('code_checksum') is not none and job.code_checksum != node.checksum.checksum,
    }) }}
{%- endmacro %}

{#- How many visible rows were loaded after the watermark, and how many lie in the overlap before it. Models mostly
    share a watermark: each (source, watermark) is counted once, in `counts`. -#}
{%- macro rows_since(source, watermark, counts) -%}
    {%- set key = source.name ~ watermark -%}
    {%- if key not in counts -%}
        {%- set sql -%}
            select
                {{ rows_loaded(source, watermark, as_of_value()) }} as new_rows,
                {{ overlap_rows(source, watermark) }} as overlap_rows
        {%- endset -%}
        {%- set row = run_query(sql).rows[0] -%}
        {%- do counts.update({key: {'new_rows': row[0] | int, 'overlap_rows': row[1] | int}}) -%}
    {%- endif -%}
    {{ return(counts[key]) }}
{%- endmacro %}

{#- How many more rows lie in the overlap before a job's watermark than its last run saw there: they committed late. -#}
{%- macro rows_behind(source, job, overlap_rows) -%}
    {{ return(overlap_rows - job.metadata.get('overlap_rows', {}).get(source.name, overlap_rows)) }}
{%- endmacro %}

{#- The partitions that tables of sessions changed and this model has not read: also what a restatement of them did. -#}
{%- macro count_unread_changes(node) -%}
    {%- set tables = closure_tables(node) -%}
    {%- set changed -%}
        (
            select count(*)
            from (
                select distinct entity, day
                from {{ ops_table('changed_keys') }}
                where {{ unread_changes(node.name, tables) }}
            ) as changed
        )
    {%- endset -%}
    {{ return(count_of(changed) if tables else 0) }}
{%- endmacro %}

{#- The last failure of each model, or of a test of it: what failed is tried again, until it and its tests succeed. -#}
{%- macro last_failures() -%}
    {%- set sql -%}
        select job_name, max(ledger_entry)
        from {{ ops_table('etl_job_runs') }}
        where job_type = 'model' and status = 'failed'
        group by job_name
    {%- endset -%}
    {%- set failures = {} -%}
    {%- for row in run_query(sql).rows -%}
        {%- do failures.update({row[0]: row[1]}) -%}
    {%- endfor -%}
    {{ return(failures) }}
{%- endmacro %}

{#- run-operation: every decision goes into ops.source_checks. A model that is unchanged is known up to this clock
    (skipped in the ledger); a blocked one waits (pending). -#}
{%- macro record_checks(checks) -%}
    {%- set entries = [] -%}
    {%- for check in checks if check.subject_type == 'model' and check.state in ('unchanged', 'blocked') -%}
        {%- do entries.append({
            'job_name': check.subject,
            'job_type': 'gate',
            'status': 'skipped' if check.state == 'unchanged' else 'pending',
            'as_of': as_of_value(),
            'error_message': check.reason,
        }) -%}
    {%- endfor -%}
    {%- set sql -%}
        {% if entries %}
        {{ ledger_insert(entries) }};
        {% endif %}
        {% if checks %}
        insert into {{ ops_table('source_checks') }}
        {%- endif %}
        {%- for check in checks %}
        select
            {{ text_literal(run_id()) }},
            {{ timestamp_literal(wall_clock()) }},
            {{ as_of() }},
            {{ text_literal(check.subject) }},
            {{ text_literal(check.subject_type) }},
            {{ text_literal(check.state) }},
            {{ text_literal(check.reason) }},
            {{ timestamp_literal(check.max_loaded_at) }},
            {{ number_literal(check.age_seconds) }}
            {{- ' union all' if not loop.last }}
        {%- endfor %}
    {%- endset -%}
    {%- do run_query(sql) -%}
{%- endmacro %}

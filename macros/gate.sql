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
    {%- set counts, failures = counted_rows(unreadable), last_failures() -%}
    {%- for source in graph.sources.values() if source.source_name == 'raw' -%}
        {%- do facts.sources.update({source.name: source_facts(source, counts)}) -%}
    {%- endfor -%}
    {%- for node in graph.nodes.values() if is_recorded(node) -%}
        {%- do facts.models.update({node.name: model_facts(node, facts.sources, counts, failures)}) -%}
    {%- endfor -%}
    {%- do record_measurements(facts, count_quarantined) -%}
    {%- do log('tidemark:gate_facts ' ~ tojson(facts)) -%}
{%- endmacro %}

{#- All that is counted in raw tables, in one statement: per source, and per watermark of the models below it, which
    mostly share one. Of sources that cannot be read there is nothing. -#}
{%- macro counted_rows(unreadable) -%}
    {%- set wanted, counts = {}, {} -%}
    {%- for source in graph.sources.values() if source.source_name == 'raw' and source.name not in unreadable -%}
        {%- if load_relation(relation_of(source)) is not none -%}
            {%- do wanted.update({source.name: [source, none]}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for node in graph.nodes.values() if is_recorded(node) -%}
        {%- set watermark = ledger_state().jobs.get(node.name, {}).get('watermark') -%}
        {%- for source in sources_above(node.unique_id) if watermark and source.name in wanted -%}
            {%- do wanted.update({source.name ~ watermark: [source, watermark]}) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- set sql -%}
        {%- for key, (source, watermark) in wanted.items() %}
        select
            '{{ key }}',
            {%- if watermark %}
            {{ rows_loaded(source, watermark, as_of_value()) }},
            {{ overlap_rows(source, watermark) }},
            {{ timestamp_literal(none) }}
            {%- else %}
            (select count(*) from {{ source.relation_name }}),
            {{ rows_loaded(source, as_of_value(), none) }},
            (
                select max({{ source.loaded_at_field }}) from {{ source.relation_name }}
                where {{ source.loaded_at_field }} <= {{ as_of() }}
            )
            {%- endif %}
            {{- ' union all' if not loop.last else '' }}
        {%- endfor %}
    {%- endset -%}
    {%- for row in (run_query(sql).rows if wanted else []) -%}
        {%- do counts.update({row[0]: {'rows': row[1] | int, 'others': row[2] | int, 'newest': row[3]}}) -%}
    {%- endfor -%}
    {{ return(counts) }}
{%- endmacro %}

{%- macro source_facts(source, counts) -%}
    {%- set counted = counts.get(source.name, {}) -%}
    {{ return({
        'exists': load_relation(relation_of(source)) is not none,
        'is_readable': source.name in counts,
        'has_rows': counted.get('rows', 0) > 0,
        'newest_visible': utc_moment(counted.newest).isoformat() if counted.newest else none,
        'waiting_rows': counted.get('others'),
    }) }}
{%- endmacro %}

{%- macro model_facts(node, sources, counts, failures) -%}
    {%- set job = ledger_state().jobs.get(node.name, {}) -%}
    {%- set new_rows, late_rows = {}, {} -%}
    {%- for source in sources_above(node.unique_id) if job.get('watermark') and sources[source.name].is_readable -%}
        {%- set counted = counts[source.name ~ job.watermark] -%}
        {%- do new_rows.update({source.name: counted.rows}) -%}
        {%- do late_rows.update({source.name: rows_behind(source, job, counted.others)}) -%}
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

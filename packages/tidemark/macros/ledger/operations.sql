{#- Run-operations that a person calls: a request, a watermark. -#}

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

{#- What is not of the entity's type would fail every build that takes up the request. -#}
{%- macro refuse_entity(node, entity) -%}
    {%- set relation, keys = load_relation(tidemark.relation_of(node)), node.config.unique_key or [none] -%}
    {%- set key = keys if keys is string else keys[0] -%}
    {%- for column in (adapter.get_columns_in_relation(relation) if relation else []) -%}
        {%- set cast_entity = 'try_cast(' ~ tidemark.text_literal(entity) ~ ' as ' ~ column.dtype ~ ')' -%}
        {%- set does_not_fit = 'case when ' ~ cast_entity ~ ' is null then 1 else 0 end' -%}
        {%- if column.name | lower == key and not column.is_string() and tidemark.count_of(does_not_fit) -%}
            {%- set expected = 'a ' ~ key ~ ' (' ~ column.dtype ~ ') of ' ~ node.name -%}
            {%- do tidemark.refuse_argument('entity', entity, expected) -%}
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
            {%- set in_overlap = tidemark.count_of(tidemark.overlap_rows(source, before)) -%}
            {%- set late_rows = tidemark.rows_behind(source, known, in_overlap) -%}
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
        {%- set loaded_since = tidemark.rows_loaded(source, after, tidemark.as_of_value()) -%}
        {%- do again.update({source.name: tidemark.count_of(loaded_since)}) -%}
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
    {%- set previous = tidemark.utc_moment(known.watermark) -%}
    {{ return({
        'job_name': job,
        'job_type': 'reset',
        'status': 'pending',
        'as_of': tidemark.as_of_value(),
        'last_processed_timestamp': to,
        'error_message': reason,
        'fingerprint': known.fingerprint,
        'metadata_sql': tidemark.text_literal(tojson({'previous_watermark': previous.isoformat()})),
    }) }}
{%- endmacro %}

{%- macro refuse_watermark(why) -%}
    {%- do tidemark.release_run_lock() -%}
    {{ exceptions.raise_compiler_error(why ~ ' The watermark was left as it is.') }}
{%- endmacro %}

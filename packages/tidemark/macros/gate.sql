{#- The gate: what the command line asks of the warehouse, and what it writes down. It decides nothing here. -#}

{#- dbt's own freshness, following the project's clock: the age at as_of(), over the rows visible then. All load times
    are read only where none is young enough for the limits: a source that is stale, or has no limit. -#}
{%- macro default__collect_freshness(source, loaded_at_field, filter) -%}
    {%- set limited = graph.sources.values() | selectattr('relation_name', 'equalto', source | string) | first -%}
    {%- set answers = [] -%}
    {%- set loaded_at_field = tidemark.load_time(limited) if limited else loaded_at_field -%}
    {%- for earliest in [tidemark.stale_before(limited) if limited else none, none] | unique -%}
        {%- if loop.first or not answers[0].table.rows[0][0] -%}
            {%- call statement('collect_freshness', fetch_result=true, auto_begin=false) %}
                select
                    {{ tidemark.within_calendar('max(' ~ loaded_at_field ~ ')', 'timestamp') }} as max_loaded_at,
                    {{ tidemark.as_of() }} as snapshotted_at
                from {{ source }}
                where {{ tidemark.loaded_between(loaded_at_field, earliest) }}
                {%- if filter %} and {{ filter }}{% endif %}
            {% endcall -%}
            {%- do answers.append(load_result('collect_freshness')) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(answers | last) }}
{%- endmacro %}

{#- The load time before which even the newest row of a source is too old, or none where dbt is told no limit. -#}
{%- macro stale_before(source) -%}
    {%- set seconds = tidemark.freshness_limits(source).critical -%}
    {{ return(tidemark.as_of_value() - modules.datetime.timedelta(seconds=seconds) if seconds else none) }}
{%- endmacro %}

{%- macro loaded_between(loaded_at_field, earliest) -%}
    {%- set bound = loaded_at_field ~ ' >= ' ~ tidemark.timestamp_literal(earliest) ~ ' and ' if earliest else '' -%}
    {{ return(bound ~ loaded_at_field ~ ' <= ' ~ tidemark.as_of()) }}
{%- endmacro %}

{#- run-operation: per source, whether it has rows and when the newest visible one was loaded; per model, what waits for
    it. A query on an unreadable source (a lost column, a lost privilege) would end the whole operation: the caller
    names them. What it sees is kept for ops.pipeline_health, by whoever records a decision on it or else at once; bad
    rows are counted for who asks for that. -#}
{%- macro gate_facts(unreadable=[], count_quarantined=false, is_recorded_later=false) -%}
    {%- do tidemark.refuse_incomplete_wiring() -%}
    {%- do tidemark.names_argument('unreadable', unreadable, tidemark.raw_sources() | map(attribute='name')) -%}
    {%- do tidemark.flag_argument('count_quarantined', count_quarantined) -%}
    {%- do tidemark.flag_argument('is_recorded_later', is_recorded_later) -%}
    {%- do tidemark.create_ops_tables() -%}
    {%- do tidemark.refuse_earlier_clock() -%}
    {%- set facts = {'as_of': tidemark.as_of_value().isoformat(), 'sources': {}, 'models': {}} -%}
    {%- set misfits = [] -%}
    {%- for source in tidemark.raw_sources() if tidemark.misfit_of(source) -%}
        {%- do misfits.append(source.name) -%}
    {%- endfor -%}
    {%- set counts = tidemark.counted_rows(unreadable + misfits) -%}
    {%- for source in tidemark.raw_sources() -%}
        {%- do facts.sources.update({source.name: tidemark.source_facts(source, counts)}) -%}
    {%- endfor -%}
    {%- set changed_code = tidemark.changed_code(facts.sources) -%}
    {%- for node in graph.nodes.values() if tidemark.is_recorded(node) -%}
        {%- do facts.models.update({node.name: tidemark.model_facts(node, facts.sources, counts, changed_code)}) -%}
    {%- endfor -%}
    {%- set missing = facts.sources.items() | rejectattr('1.exists') | map(attribute=0) | list -%}
    {%- do facts.update({'advice': tidemark.missing_tables_advice(missing)}) -%}
    {%- do facts.update({'figures': tidemark.figures_of(facts, count_quarantined)}) -%}
    {%- if not is_recorded_later -%}
        {%- do tidemark.record_look([], facts.figures) -%}
    {%- endif -%}
    {%- do log('tidemark:gate_facts ' ~ tojson(facts)) -%}
{%- endmacro %}

{#- What to do where raw tables are not there, or nothing. -#}
{%- macro missing_tables_advice(missing) -%}
    {%- set without, names = [], [] -%}
    {%- for source in tidemark.raw_sources() if source.name in missing -%}
        {%- do without.append((source.config.meta or {}).get('domain')) -%}
        {%- do names.append(tidemark.relation_of(source) | replace('"', '')) -%}
    {%- endfor -%}
    {%- set without = without | select | unique | sort -%}
    {%- set kept = (tidemark.setting('domains') or []) | reject('in', without) | list if without else [] -%}
    {%- set switch = "switch off " ~ ('domain ' if without | length == 1 else 'domains ') ~ without | join(', ')
        ~ ": vars: domains in dbt_project.yml, or --vars '{domains: [" ~ kept | join(', ') ~ "]}'" -%}
    {{ return('' if not names else (
        ('These raw tables do not exist: ' if names | length > 1 else 'This raw table does not exist: ')
        ~ names | join(', ') ~ '. '
        ~ ('Who does not have them may ' ~ switch if kept else 'Are database and schema of the source right')
        ~ ('.' if kept else '?') ~ ' Who loads them makes them empty by dbt run-operation create_landing.'
        ~ ' Who has them under other names: `tidemark check --contract`.'
    )) }}
{%- endmacro %}

{#- on-run-end: after failures, since a missing table fails a view in the engine's words. -#}
{%- macro tell_missing_tables(results) -%}
    {%- set missing = [] -%}
    {%- for result in results if result.status == 'error' and result.node.resource_type in ('model', 'test') -%}
        {%- for source in tidemark.sources_above(result.node.unique_id) if source.name not in missing -%}
            {%- if load_relation(tidemark.relation_of(source)) is none -%}
                {%- do missing.append(source.name) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if missing -%}
        {%- do exceptions.warn(tidemark.missing_tables_advice(missing)) -%}
    {%- endif -%}
{%- endmacro %}

{#- All that waits, counted in one statement: per source, per watermark of the models below it, which mostly share one,
    and per model the changes that it has not read. Of sources that cannot be read there is nothing. -#}
{%- macro counted_rows(unreadable) -%}
    {%- set wanted, counts, no_time = {}, {}, tidemark.timestamp_literal(none) -%}
    {%- for source in tidemark.raw_sources() if source.name not in unreadable -%}
        {%- if load_relation(tidemark.relation_of(source)) is not none -%}
            {%- set all_rows = '(select count(*) from ' ~ source.relation_name ~ ')' -%}
            {%- set waiting = tidemark.rows_loaded(source, tidemark.as_of_value(), none) -%}
            {%- set newest = tidemark.newest_visible(source, tidemark.stale_before(source)) -%}
            {%- do wanted.update({source.name: [all_rows, waiting, newest]}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for node in graph.nodes.values() if tidemark.is_recorded(node) -%}
        {%- set watermark = tidemark.ledger_state().jobs.get(node.name, {}).get('watermark') -%}
        {%- for source in tidemark.sources_above(node.unique_id) if watermark and source.name in wanted -%}
            {%- set new_rows = tidemark.rows_loaded(source, watermark, tidemark.as_of_value()) -%}
            {%- set overlap_rows = tidemark.overlap_rows(source, watermark) -%}
            {%- do wanted.update({source.name ~ watermark: [new_rows, overlap_rows, no_time]}) -%}
        {%- endfor -%}
        {%- if watermark and tidemark.session_tables(node) -%}
            {%- do wanted.update({node.unique_id: [tidemark.unread_partitions(node), '0', no_time]}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set sql -%}
        {%- for key, expressions in wanted.items() %}
        select
            '{{ key }}',
            {{ expressions | join(', ') }}
            {{- ' union all' if not loop.last else '' }}
        {%- endfor %}
    {%- endset -%}
    {%- for row in (run_query(sql).rows if wanted else []) -%}
        {%- do counts.update({row[0]: {'rows': row[1] | int, 'others': row[2] | int, 'newest': row[3]}}) -%}
    {%- endfor -%}
    {#- stale, empty or from the future: which of them, all load times tell -#}
    {%- for source in tidemark.raw_sources() if source.name in counts and tidemark.stale_before(source) -%}
        {%- if counts[source.name].rows and not counts[source.name].newest -%}
            {%- set newest = run_query('select ' ~ tidemark.newest_visible(source, none)).rows[0][0] -%}
            {%- do counts[source.name].update({'newest': newest}) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(counts) }}
{%- endmacro %}

{%- macro source_facts(source, counts) -%}
    {%- set counted, limits = counts.get(source.name, {}), tidemark.freshness_limits(source) -%}
    {%- set newest = tidemark.utc_moment(counted.newest) if counted.newest else none -%}
    {%- set age = (tidemark.as_of_value() - newest).total_seconds() if newest else none -%}
    {%- if source.name not in counts -%}
        {%- set state = 'error' -%}
    {%- elif age is none -%}
        {%- set state = 'future' if counted.rows else 'empty' -%}
    {%- else -%}
        {%- set state = tidemark.freshness_state(age, limits) -%}
    {%- endif -%}
    {{ return({
        'exists': load_relation(tidemark.relation_of(source)) is not none,
        'is_readable': source.name in counts,
        'misfit': tidemark.misfit_of(source),
        'state': state,
        'age': age,
        'limits': limits,
        'newest_visible': newest.isoformat() if newest else none,
        'waiting_rows': counted.get('others'),
    }) }}
{%- endmacro %}

{#- What `dbt source freshness` says of the same age at the same clock, in the gate's words. -#}
{%- macro freshness_state(age, limits) -%}
    {%- if limits.critical is not none and age > limits.critical -%}
        {{ return('stale') }}
    {%- endif -%}
    {{ return('warn' if limits.warning is not none and age > limits.warning else 'fresh') }}
{%- endmacro %}

{#- dbt's freshness limits, in seconds. -#}
{%- macro freshness_limits(source) -%}
    {%- set seconds, limits = {'minute': 60, 'hour': 3600, 'day': 86400}, {} -%}
    {%- for level, name in {'warning': 'warn_after', 'critical': 'error_after'}.items() -%}
        {%- set limit = (source.freshness or {}).get(name) or {} -%}
        {%- set count = limit.get('count') -%}
        {%- do limits.update({level: count * seconds[limit.period | string] if count is not none else none}) -%}
    {%- endfor -%}
    {{ return(limits) }}
{%- endmacro %}

{#- With the filter that the source's freshness has, as dbt's own check. -#}
{%- macro newest_visible(source, earliest) -%}
    {%- set filter = (source.freshness or {}).get('filter') -%}
    (
        select {{ tidemark.within_calendar('max(' ~ tidemark.load_time(source) ~ ')', 'timestamp') }}
        from {{ source.relation_name }}
        where {{ tidemark.loaded_between(tidemark.load_time(source), earliest) }}
        {%- if filter %} and {{ filter }}{% endif %}
    )
{%- endmacro %}

{%- macro model_facts(node, sources, counts, changed_code) -%}
    {%- set job = tidemark.ledger_state().jobs.get(node.name, {}) -%}
    {%- set new_rows, late_rows = {}, {} -%}
    {%- set read = tidemark.sources_above(node.unique_id) if job.get('watermark') else [] -%}
    {%- for source in read if sources[source.name].is_readable -%}
        {%- set counted = counts[source.name ~ job.watermark] -%}
        {%- do new_rows.update({source.name: counted.rows}) -%}
        {%- do late_rows.update({source.name: tidemark.rows_behind(source, job, counted.others)}) -%}
    {%- endfor -%}
    {{ return({
        'exists': load_relation(tidemark.relation_of(node)) is not none,
        'watermark': tidemark.utc_moment(job.watermark).isoformat() if job.get('watermark') else none,
        'built_entry': job.read_entry | int if job.get('read_entry') else none,
        'is_reset': job.get('is_reset', false),
        'new_rows': new_rows,
        'late_rows': late_rows,
        'changed_keys': counts.get(node.unique_id, {}).get('rows', 0),
        'open_requests': tidemark.ledger_state().requests.get(node.name, []) | length,
        'failed': tidemark.ledger_state().failures.get(node.name, 0) > job.get('read_entry', 0),
        'code': changed_code.get(node.name),
    }) }}
{%- endmacro %}

{#- How many more rows lie in the overlap before a job's watermark than its last run saw there: they committed late. -#}
{%- macro rows_behind(source, job, overlap_rows) -%}
    {{ return(overlap_rows - job.metadata.get('overlap_rows', {}).get(source.name, overlap_rows)) }}
{%- endmacro %}

{#- The partitions that tables of sessions changed and this model has not read: also what a restatement of them did. -#}
{%- macro unread_partitions(node) -%}
    (
        select count(*)
        from (
            select distinct entity, day
            from {{ tidemark.ops_table('changed_keys') }}
            where {{ tidemark.unread_changes(node.name, tidemark.session_tables(node)) }}
        ) as changed
    )
{%- endmacro %}

{#- run-operation: what the gate said of sources and models, with the figures that it was said on. A model that is
    unchanged is known up to this clock (skipped in the ledger); a blocked one waits (pending). -#}
{%- macro record_checks(checks, figures) -%}
    {%- do tidemark.rows_argument('checks', checks, ['subject', 'subject_type', 'state', 'reason']) -%}
    {%- do tidemark.rows_argument('figures', figures, tidemark.figure(none, none, none)) -%}
    {%- if var('run_id', none) is none -%}
        {#- by hand: in a command gate_facts has refused, and every look pays for each statement -#}
        {%- do tidemark.create_ops_tables() -%}
        {%- do tidemark.refuse_earlier_clock() -%}
    {%- endif -%}
    {%- set entries, sources, statuses = [], {}, {'unchanged': 'skipped', 'blocked': 'pending'} -%}
    {%- for check in checks -%}
        {%- if check.subject_type == 'source' -%}
            {%- do sources.update({check.subject: {'detail': check.state, 'reason': check.reason}}) -%}
        {%- else -%}
            {%- set decision = tidemark.figure('decision', check.subject, none, check.state, reason=check.reason) -%}
            {%- do figures.append(decision) -%}
            {%- if check.state in statuses -%}
                {%- do entries.append({
                    'job_name': check.subject,
                    'job_type': 'gate',
                    'status': statuses[check.state],
                    'as_of': tidemark.as_of_value(),
                    'error_message': check.reason,
                }) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for source_age in figures if source_age.metric == 'source_age' -%}
        {%- do source_age.update(sources[source_age.subject]) -%}
    {%- endfor -%}
    {%- do tidemark.record_look(entries, figures) -%}
{%- endmacro %}

{#- One insert into the ledger, one into what was seen: a check that finds nothing new writes no more than that. The
    first entry is the look itself, the clock up to which its figures are known. -#}
{%- macro record_look(entries, figures) -%}
    {%- set look = {'job_name': 'gate', 'job_type': 'gate', 'status': 'success', 'as_of': tidemark.as_of_value()} -%}
    {%- set rows, now = [], tidemark.timestamp_literal(tidemark.wall_clock()) -%}
    {%- for figure in figures -%}
        {%- do rows.append({
            'run_id': tidemark.text_literal(tidemark.run_id()),
            'measured_at': now,
            'as_of': tidemark.as_of(),
            'metric': tidemark.text_literal(figure.metric),
            'subject': tidemark.text_literal(figure.subject),
            'amount': tidemark.number_literal(figure.amount),
            'detail': tidemark.message_literal(figure.detail),
            'warning_at': tidemark.number_literal(figure.limits.get('warning')),
            'critical_at': tidemark.number_literal(figure.limits.get('critical')),
            'reference_time': tidemark.timestamp_literal(figure.reference_time),
            'reason': tidemark.message_literal(figure.reason),
        }) -%}
    {%- endfor -%}
    {%- set seen = [tidemark.insert_of_rows('gate_log', 'ledger.last_entry', rows)] if rows else [] -%}
    {%- do tidemark.write_down([tidemark.ledger_insert([look] + entries)] + seen) -%}
{%- endmacro %}

{#- What the gate saw, kept as figures: ops.pipeline_health judges them without reading a raw table, so that it also
    answers when one is missing or broken. -#}

{%- macro figures_of(facts, count_quarantined) -%}
    {%- set figures, since = [], tidemark.earlier_run_clock() if count_quarantined else none -%}
    {%- for source in tidemark.raw_sources() -%}
        {%- do figures.extend(tidemark.source_figures(source, facts.sources[source.name])) -%}
        {%- if count_quarantined and facts.sources[source.name].is_readable -%}
            {%- do figures.extend(tidemark.quarantined_figures(source, since)) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for node in graph.nodes.values() if tidemark.is_recorded(node) -%}
        {%- do figures.extend(tidemark.job_figures(node, facts.models[node.name])) -%}
    {%- endfor -%}
    {%- set filled = tidemark.raw_sources() | selectattr('name', 'in', tidemark.readable_sources(facts)) | list -%}
    {%- set has_pipes = filled and tidemark.setting('landing').pipes -%}
    {%- for row in (tidemark.named_rows(tidemark.skipped_files(filled)) if has_pipes else []) -%}
        {%- do figures.append(tidemark.figure('skipped_files', row['source_name'], row['files'] | int, row['told'])) -%}
    {%- endfor -%}
    {{ return(figures) }}
{%- endmacro %}

{%- macro readable_sources(facts) -%}
    {%- set names = [] -%}
    {%- for name, source in facts.sources.items() if source.is_readable -%}
        {%- do names.append(name) -%}
    {%- endfor -%}
    {{ return(names) }}
{%- endmacro %}

{%- macro figure(metric, subject, amount, detail=none, limits={}, reference_time=none, reason=none) -%}
    {{ return({
        'metric': metric,
        'subject': subject,
        'amount': amount,
        'detail': detail,
        'limits': limits,
        'reference_time': reference_time,
        'reason': reason,
    }) }}
{%- endmacro %}

{#- What stands in the vars: `health`, and what the target has of its own. -#}
{%- macro health_vars() -%}
    {{ return(dict(tidemark.setting('health'), **tidemark.setting('health_of_target').get(target.name, {}))) }}
{%- endmacro %}

{#- The same as a query. -#}
{%- macro health_limits() -%}
    {%- for metric, limit in tidemark.health_vars().items() %}
    select
        '{{ metric }}' as metric,
        {{ tidemark.number_literal(limit.get('warning')) }} as warning_at,
        {{ tidemark.number_literal(limit.get('critical')) }} as critical_at
        {{- ' union all' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{%- macro seconds_between(earlier, later) -%}
    cast({{ dbt.datediff(earlier, later, 'millisecond') }} * 0.001 as decimal(18, 3))
{%- endmacro %}

{%- macro source_figures(source, facts) -%}
    {%- set age = facts.age | int if facts.age is not none else none -%}
    {{ return([
        tidemark.figure('source_age', source.name, age, facts.state, facts.limits, facts.newest_visible),
        tidemark.figure('waiting_rows', source.name, facts.waiting_rows),
    ]) }}
{%- endmacro %}

{#- By reason, what the last run set aside and what has come since: loaded after the run before it, and without one in
    the last 24 hours. All of it would have to read all there is. -#}
{%- macro quarantined_figures(source, since) -%}
    {%- set relation = tidemark.staged_view(source, having=tidemark.staged('quarantine_reason')) -%}
    {%- if relation is none -%}
        {{ return([]) }}
    {%- endif -%}
    {%- set sql -%}
        select {{ tidemark.staged('quarantine_reason') }}, count(*)
        from {{ relation }}
        where
            {{ tidemark.staged('quarantine_reason') }} is not null
            and {{ tidemark.staged('loaded_at') }} > {{ tidemark.timestamp_literal(since) }}
            and {{ tidemark.visible() }}
        group by {{ tidemark.staged('quarantine_reason') }}
        order by {{ tidemark.staged('quarantine_reason') }}
    {%- endset -%}
    {%- set figures = [] -%}
    {%- for row in run_query(sql).rows -%}
        {%- do figures.append(tidemark.figure('quarantined_rows', source.name ~ ': ' ~ row[0], row[1] | int)) -%}
    {%- endfor -%}
    {{ return(figures or [tidemark.figure('quarantined_rows', source.name, 0)]) }}
{%- endmacro %}

{%- macro earlier_run_clock() -%}
    {%- set sql -%}
        select distinct as_of
        from {{ tidemark.ops_table('etl_job_runs') }}
        where job_name like 'dbt %' and job_type = 'model' and status in ('success', 'failed')
        order by as_of desc
        limit 2
    {%- endset -%}
    {%- set clocks = run_query(sql).rows -%}
    {%- set day_before = tidemark.shifted(tidemark.as_of_value(), modules.datetime.timedelta(days=-1)) -%}
    {{ return(clocks[1][0] if clocks | length > 1 else day_before) }}
{%- endmacro %}

{%- macro job_figures(node, facts) -%}
    {%- set code = facts.code -%}
    {%- set pending = facts.new_rows.values() | sum + facts.late_rows.values() | select('gt', 0) | sum -%}
    {{ return([
        tidemark.figure('watermark_lag', node.name, none, limits=tidemark.lag_limits(node)),
        tidemark.figure('pending_rows', node.name, pending),
        tidemark.figure(
            'code_drift', node.name, 1 if code else 0, code.why if code else none,
            reference_time=code.since if code else none, reason=code.policy if code else none
        ),
    ]) }}
{%- endmacro %}

{#- Only the limits: the lag itself is the ledger's to tell. A job is as hourly as the most frequent of its sources;
    without any limit there is no cadence to fall behind. -#}
{%- macro lag_limits(node) -%}
    {%- set limits = [] -%}
    {%- for source in tidemark.sources_above(node.unique_id) -%}
        {%- do limits.append(tidemark.freshness_limits(source).warning) -%}
    {%- endfor -%}
    {%- set limits = limits | select('number') | list -%}
    {%- if not limits -%}
        {{ return({}) }}
    {%- endif -%}
    {%- set metric = 'watermark_lag_hourly' if limits | min < 86400 else 'watermark_lag_daily' -%}
    {{ return(tidemark.health_vars().get(metric, {})) }}
{%- endmacro %}


{#- Parts of pipeline_health: what the ledger alone can tell. Queries, not models: the view, shown on its own, has to
    answer before anything was ever built. -#}

{#- Runs of dbt that have ended; restatements take the time that they take. -#}
{%- macro ended_runs(ledger) -%}
    select * from {{ ledger }}
    where job_name like 'dbt %' and job_type = 'model' and status in ('success', 'failed')
{%- endmacro %}

{%- macro last_run(ledger) -%}
    select
        job_name as subject,
        {{ tidemark.seconds_between('started_at', 'completed_at') }} as seconds,
        status,
        completed_at,
        as_of
    from ({{ tidemark.ended_runs(ledger) }}) as runs
    qualify row_number() over (order by ledger_entry desc) = 1
{%- endmacro %}

{%- macro failed_runs(ledger, clock) -%}
    select
        'last 24 hours' as subject,
        count(runs.run_id) as failures,
        max(runs.completed_at) as failed_at,
        {{ clock }}.as_of
    from {{ clock }}
    left join ({{ tidemark.ended_runs(ledger) }}) as runs
        on runs.status = 'failed' and runs.as_of > {{ dbt.dateadd('day', -1, clock ~ '.as_of') }}
    group by {{ clock }}.as_of
{%- endmacro %}

{#- Per job of a type: its watermark, its last success, and what failed since. -#}
{%- macro job_results(ledger, job_type='model') -%}
    {#- a failed test is no further failure of its model; a load may bring several failures of an ingest job -#}
    {%- set failure = 'ended.run_id' if job_type == 'model' else 'ended.ledger_entry' -%}
    {%- set seconds = tidemark.seconds_between('ended.started_at', 'ended.completed_at') %}
    select
        jobs.job_name,
        watermarks.last_processed_timestamp,
        watermarks.known_until,
        jobs.completed_at,
        jobs.seconds,
        jobs.records_processed,
        jobs.partitions_touched,
        jobs.failures,
        jobs.failed_at,
        jobs.ended_at,
        jobs.error_message,
        jobs.metadata_json
    from (
        select
            ended.job_name,
            max(case when ended.status = 'success' then ended.completed_at end) as completed_at,
            max(case when ended.status = 'success' then {{ seconds }} end) as seconds,
            max(case when ended.status = 'success' then ended.records_processed end) as records_processed,
            max(case when ended.status = 'success' then ended.partitions_touched end) as partitions_touched,
            count(distinct case when ended.status = 'failed' then {{ failure }} end) as failures,
            max(case when ended.status = 'failed' then ended.completed_at end) as failed_at,
            max(ended.completed_at) as ended_at,
            {{ tidemark.last_known('ended.error_message', 'ended.ledger_entry') }} as error_message,
            {{ tidemark.last_known('ended.metadata_json', 'ended.ledger_entry') }} as metadata_json
        from (
            select
                *,
                max(case when status = 'success' then ledger_entry end) over (partition by job_name) as success_entry
            from {{ ledger }}
            where job_type = '{{ job_type }}' and status in ('success', 'failed')
        ) as ended
        where ended.ledger_entry >= coalesce(ended.success_entry, 0)
        group by ended.job_name
    ) as jobs
    left join ({{ tidemark.last_runs(ledger) }}) as watermarks on jobs.job_name = watermarks.job_name
{%- endmacro %}

{#- Per table that coverage has looked at: the partitions that are not what they should be. -#}
{%- macro open_gaps(coverage) -%}
    select
        model_name as subject,
        count(case when state <> 'ok' and is_rebuildable and not is_current then 1 end) as gaps,
        max(checked_at) as checked_at
    from {{ coverage }}
    group by model_name
{%- endmacro %}

{#- What became of repairs in the last thirty days: the share that succeeded, and how long it took from the check that
    found the damage to the one that found it gone, on average. -#}
{%- macro repairs(attempts, clock) -%}
    {%- set seconds = tidemark.seconds_between('attempts.found_at', 'attempts.finished_at') -%}
    {%- set repair_seconds = "case when attempts.outcome = 'repaired' then " ~ seconds ~ ' end' %}
    select
        'last 30 days' as subject,
        {{ tidemark.ratio("100 * count(case when attempts.outcome = 'repaired' then 1 end)", 'count(*)', decimals=3) }}
            as success_percent,
        {{ tidemark.ratio('sum(' ~ repair_seconds ~ ')', 'count(' ~ repair_seconds ~ ')', decimals=3, scale=3) }}
            as seconds,
        max(attempts.finished_at) as finished_at,
        {{ clock }}.as_of
    from {{ clock }}
    inner join {{ attempts }} as attempts
        on
            attempts.outcome in ('repaired', 'failed')
            and attempts.as_of > {{ dbt.dateadd('day', -30, clock ~ '.as_of') }}
    group by {{ clock }}.as_of
{%- endmacro %}

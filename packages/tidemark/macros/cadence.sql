{#- What `tidemark cadence` asks of the warehouse: it reads the days before the clock, and decides nothing here. -#}

{#- run-operation: when sources were loaded, how late their events came, when the gate looked, and what it skipped. -#}
{%- macro cadence_facts(days) -%}
    {%- do tidemark.number_argument('days', days, 1, 3650) -%}
    {%- do tidemark.create_ops_tables() -%}
    {%- set since = tidemark.shifted(tidemark.as_of_value(), modules.datetime.timedelta(days=-days)) -%}
    {%- set sources = {} -%}
    {%- for source in tidemark.raw_sources() -%}
        {%- do sources.update({source.name: {
            'loads': tidemark.loads_of(source, since),
            'lateness': tidemark.lateness_of(source, since),
        }}) -%}
    {%- endfor -%}
    {%- do log('tidemark:cadence_facts ' ~ tojson({
        'as_of': tidemark.as_of_value().isoformat(),
        'since': since.isoformat(),
        'sources': sources,
        'checks': tidemark.checks_since(since),
        'jobs': tidemark.skips_since(since),
    })) -%}
{%- endmacro %}

{#- First and last second of the loads of every minute that has any: a stream has a load time for each row, and no
    schedule is finer than a minute. -#}
{%- macro loads_of(source, since) -%}
    {%- set relation = tidemark.relation_of(source) -%}
    {%- set loads = [] -%}
    {%- if load_relation(relation) is not none -%}
        {%- set loaded_at = tidemark.load_time(source) -%}
        {%- set second = tidemark.whole_quotient('(' ~ tidemark.epoch_millisecond(loaded_at) ~ ' + 999)', 1000) -%}
        {%- set sql -%}
            select
                min({{ second }}) as first_second,
                max({{ second }}) as last_second
            from {{ relation }}
            where
                {{ loaded_at }} > {{ tidemark.timestamp_literal(since) }}
                and {{ loaded_at }} <= {{ tidemark.as_of() }}
            group by {{ tidemark.whole_quotient(second, 60) }}
            order by first_second
        {%- endset -%}
        {%- for row in run_query(sql).rows -%}
            {%- do loads.append([row[0] | int, row[1] | int]) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(loads) }}
{%- endmacro %}

{#- From event to load, in seconds, of the valid rows loaded since then; none where rows have no event time. -#}
{%- macro lateness_of(source, since) -%}
    {%- set relation = tidemark.staged_view(source, having=tidemark.staged('occurred_at')) -%}
    {%- if relation is none -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set loaded_at, occurred_at = tidemark.staged('loaded_at'), tidemark.staged('occurred_at') -%}
    {%- set sql -%}
        select
            percentile_cont(0.5) within group (order by lateness) as half,
            percentile_cont(0.99) within group (order by lateness) as nearly_all,
            max(lateness) as latest
        from (
            select
                (
                    {{ tidemark.epoch_millisecond(loaded_at) }} - {{ tidemark.epoch_millisecond(occurred_at) }}
                ) * 0.001 as lateness
            from {{ relation }}
            where {{ tidemark.valid_and_visible() }} and {{ loaded_at }} > {{ tidemark.timestamp_literal(since) }}
        ) as loaded_rows
    {%- endset -%}
    {%- set row = run_query(sql).rows[0] -%}
    {{ return(none if row[2] is none else row.values() | map('int') | list) }}
{%- endmacro %}

{%- macro checks_since(since) -%}
    {%- set sql -%}
        select distinct as_of
        from {{ tidemark.ops_table('gate_log') }}
        where
            metric = 'decision'
            and as_of > {{ tidemark.timestamp_literal(since) }}
            and as_of <= {{ tidemark.as_of() }}
        order by as_of
    {%- endset -%}
    {{ return(run_query(sql).rows | map(attribute=0) | map('string') | list) }}
{%- endmacro %}

{%- macro skips_since(since) -%}
    {%- set jobs = {} -%}
    {%- for row in run_query(tidemark.skips(tidemark.timestamp_literal(since)) ~ ' order by job_name').rows -%}
        {%- do jobs.update({row[0]: {'builds': row[1] | int, 'skips': row[2] | int, 'seconds': row[3] | float(0)}}) -%}
    {%- endfor -%}
    {{ return(jobs) }}
{%- endmacro %}

{#- A query: per job, how often it was built and how often the gate skipped it, and the mean seconds of a build; a table
    that was rebuilt whole says nothing of an ordinary one. -#}
{%- macro skips(since) -%}
    {%- set ordinary_seconds -%}
        case when entries.mode <> 'full' then entries.seconds end
    {%- endset %}
    select
        job_name,
        count(case when job_type = 'model' then 1 end) as builds,
        count(case when job_type = 'gate' then 1 end) as skips,
        coalesce(
            {{ tidemark.ratio(
                'sum(' ~ ordinary_seconds ~ ')', 'count(' ~ ordinary_seconds ~ ')', decimals=3, scale=3
            ) }},
            {{ tidemark.ratio('sum(entries.seconds)', 'count(entries.seconds)', decimals=3, scale=3) }}
        ) as seconds
    from (
        select
            job_name,
            job_type,
            mode,
            case
                when job_type = 'model' then {{ tidemark.seconds_between('started_at', 'completed_at') }}
            end as seconds
        from {{ tidemark.ops_table('etl_job_runs') }}
        where
            as_of > {{ since }}
            and as_of <= {{ tidemark.as_of() }}
            and job_name not like 'dbt %'
            and (
                (job_type = 'model' and status = 'success')
                or (job_type = 'gate' and status = 'skipped')
            )
    ) as entries
    group by job_name
{%- endmacro %}

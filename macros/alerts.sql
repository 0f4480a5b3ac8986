{#- What people were told: one row per change of state that a channel received. The command line decides and sends; the
    last row of a subject is what the channel knows of it. -#}

{#- run-operation: what each channel was told last; the figures that may be critical, as ops.pipeline_health judges them
    now; and when some jobs last succeeded, tests included. It reads only. -#}
{%- macro alert_facts(jobs=[]) -%}
    {%- do names_argument('jobs', jobs) -%}
    {%- set facts = {'told': [], 'figures': [], 'worked': {}} -%}
    {%- if load_relation(ops_table('alerts')) is not none -%}
        {%- for row in run_query(last_alerts(ops_table('alerts'))).rows -%}
            {%- do facts.told.append({'channel': row[0], 'subject': row[1], 'state': row[2]}) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- if load_relation(ops_table('pipeline_health')) is not none -%}
        {%- set columns = ['metric', 'subject', 'unit', 'level', 'warning_at', 'critical_at', 'detail',
            'reference_time', 'as_of', 'amount'] -%}
        {%- set sql -%}
            select {{ columns | join(', ') }} from {{ ops_table('pipeline_health') }} where critical_at is not null
        {%- endset -%}
        {%- for row in named_rows(sql) -%}
            {%- set figure = {'amount': row['amount'] | float if row['amount'] is not none else none} -%}
            {%- for column in columns if column != 'amount' -%}
                {%- set value = row[column] -%}
                {%- do figure.update({column: value | string if value is not none else none}) -%}
            {%- endfor -%}
            {%- do facts.figures.append(figure) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- if load_relation(ops_table('etl_job_runs')) is not none -%}
        {%- for row in run_query(last_whole_successes(ops_table('etl_job_runs'), jobs)).rows -%}
            {%- do facts.worked.update({row[0]: utc_moment(row[1]).isoformat()}) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- do log('tidemark:alert_facts ' ~ tojson(facts)) -%}
{%- endmacro %}

{%- macro last_alerts(alerts) -%}
    select channel, subject, state
    from {{ alerts }}
    qualify row_number() over (partition by channel, subject order by alert_entry desc) = 1
{%- endmacro %}

{#- A job's success is recorded with its data, before its tests: one that failed in the same run did not work. All runs
    of dbt stand together, under the name `run`. -#}
{%- macro last_whole_successes(ledger, jobs) -%}
    select
        case when runs.job_name like 'dbt %' then 'run' else runs.job_name end as job,
        max(runs.completed_at) as worked_at
    from {{ ledger }} as runs
    left join {{ ledger }} as failures
        on runs.run_id = failures.run_id and runs.job_name = failures.job_name and failures.status = 'failed'
    where
        runs.job_type in ('model', 'ingest')
        and runs.status = 'success'
        and failures.run_id is null
        and (runs.job_name like 'dbt %' or {{ is_one_of('runs.job_name', jobs) }})
    group by 1
{%- endmacro %}

{#- run-operation: what was delivered, rows of channel, subject and state. -#}
{%- macro record_alerts(alerts) -%}
    {%- do rows_argument('alerts', alerts, ['channel', 'subject', 'state']) -%}
    {%- do create_ops_tables() -%}
    {%- set sql -%}
        insert into {{ ops_table('alerts') }}
        {%- for alert in alerts %}
        select
            coalesce((select max(alert_entry) from {{ ops_table('alerts') }}), 0) + 1,
            {{ text_literal(run_id()) }},
            {{ timestamp_literal(wall_clock()) }},
            {{ as_of() }},
            {{ text_literal(alert.channel) }},
            {{ text_literal(alert.subject) }},
            {{ text_literal(alert.state) }}
            {{- ' union all' if not loop.last else '' }}
        {%- endfor %}
    {%- endset -%}
    {%- do write_down(sql) -%}
{%- endmacro %}

{#- What people were told: one row per change of state that a channel received. The command line decides and sends; the
    last row of a subject is what the channel knows of it. -#}

{#- run-operation: what each channel was told last; the figures that may be critical, as ops.pipeline_health judges them
    now; and when some jobs last succeeded, tests included. It reads only. -#}
{%- macro alert_facts(jobs=[]) -%}
    {%- do tidemark.names_argument('jobs', jobs) -%}
    {%- set facts = {'told': [], 'figures': [], 'worked': {}} -%}
    {%- if load_relation(tidemark.ops_table('alerts')) is not none -%}
        {%- for row in run_query(tidemark.last_alerts(tidemark.ops_table('alerts'))).rows -%}
            {%- do facts.told.append({'channel': row[0], 'subject': row[1], 'state': row[2]}) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- if load_relation(tidemark.ops_table('pipeline_health')) is not none -%}
        {%- set columns = ['metric', 'subject', 'unit', 'level', 'warning_at', 'critical_at', 'detail',
            'reference_time', 'as_of', 'amount'] -%}
        {%- set sql -%}
            select {{ columns | join(', ') }}
            from {{ tidemark.ops_table('pipeline_health') }}
            where critical_at is not null
        {%- endset -%}
        {%- for row in tidemark.named_rows(sql) -%}
            {%- set figure = {'amount': row['amount'] | float if row['amount'] is not none else none} -%}
            {%- for column in columns if column != 'amount' -%}
                {%- set value = row[column] -%}
                {%- do figure.update({column: value | string if value is not none else none}) -%}
            {%- endfor -%}
            {%- do facts.figures.append(figure) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- if load_relation(tidemark.ops_table('etl_job_runs')) is not none -%}
        {%- for row in run_query(tidemark.last_whole_successes(tidemark.ops_table('etl_job_runs'), jobs)).rows -%}
            {%- do facts.worked.update({row[0]: tidemark.utc_moment(row[1]).isoformat()}) -%}
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
        and (runs.job_name like 'dbt %' or {{ tidemark.is_one_of('runs.job_name', jobs) }})
    group by 1
{%- endmacro %}

{#- run-operation: what was delivered, rows of channel, subject and state. -#}
{%- macro record_alerts(alerts) -%}
    {%- do tidemark.rows_argument('alerts', alerts, ['channel', 'subject', 'state']) -%}
    {%- do tidemark.create_ops_tables() -%}
    {%- set sql -%}
        insert into {{ tidemark.ops_table('alerts') }}
        {%- for alert in alerts %}
        select
            coalesce((select max(alert_entry) from {{ tidemark.ops_table('alerts') }}), 0) + 1,
            {{ tidemark.text_literal(tidemark.run_id()) }},
            {{ tidemark.timestamp_literal(tidemark.wall_clock()) }},
            {{ tidemark.as_of() }},
            {{ tidemark.text_literal(alert.channel) }},
            {{ tidemark.text_literal(alert.subject) }},
            {{ tidemark.text_literal(alert.state) }}
            {{- ' union all' if not loop.last else '' }}
        {%- endfor %}
    {%- endset -%}
    {%- do tidemark.write_down(sql) -%}
{%- endmacro %}

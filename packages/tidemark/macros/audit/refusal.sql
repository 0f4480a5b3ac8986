{#- Audit before publish: what people are told when rows were refused. -#}

{#- Keeps some of the refused rows for a look, and stops the model: what is published stays as it is. -#}
{%- macro refuse_to_publish(refused, is_written) -%}
    {%- set rows = [] -%}
    {%- for audit in refused -%}
        {%- do rows.extend(tidemark.rows_of_refusal(audit)) -%}
    {%- endfor -%}
    {%- if is_written -%}
        {%- do tidemark.leave_what_was_written() -%}
    {%- endif -%}
    {%- do tidemark.write_down(tidemark.refusal_statements(refused, rows)) -%}
    {{ exceptions.raise_compiler_error(tidemark.refusal_in_words(refused, rows)) }}
{%- endmacro %}

{#- The rows that a test refused, at most `rejected_rows` of them: whole rows where a test shows only what it
    counts. -#}
{%- macro rows_of_refusal(audit) -%}
    {%- set sql = tidemark.sql_of_refused_rows(audit) -%}
    {%- set found = run_query('select * from (' ~ sql ~ ') as refused limit ' ~ tidemark.setting('rejected_rows')) -%}
    {%- set names, partition, rows = [], tidemark.partition_columns(model), [] -%}
    {%- for name in found.column_names -%}
        {%- do names.append(name | lower) -%}
    {%- endfor -%}
    {%- set hidden = tidemark.hidden_columns(audit, names) -%}
    {%- for row in found.rows -%}
        {%- set values = {} -%}
        {%- for name in names if name not in hidden -%}
            {%- do values.update({name: row[loop.index0] | string if row[loop.index0] is not none else none}) -%}
        {%- endfor -%}
        {%- do rows.append({'test': audit.test, 'values': values}) -%}
    {%- endfor -%}
    {{ return(rows) }}
{%- endmacro %}

{#- dbt's own tests and dbt_utils' give a value or a count: here the rows that it is of. -#}
{%- macro sql_of_refused_rows(audit) -%}
    {%- set macro_id, arguments = tidemark.macro_of_test(audit.test), audit.test.test_metadata.kwargs -%}
    {%- set condition, column = audit.test.config.get('where'), arguments.get('column_name') -%}
    {%- set rows = '(select * from ' ~ audit.rows ~ (' where ' ~ condition if condition else '') ~ ') as audited' -%}
    {%- set values = {'unique': 'unique_field', 'accepted_values': 'value_field', 'relationships': 'from_field'} -%}
    {%- set name = audit.test.test_metadata.name -%}
    {%- set of_keys = ['macro.dbt_utils.test_unique_combination_of_columns', 'macro.tidemark.test_one_row_per'] -%}
    {%- if macro_id == 'macro.dbt.test_not_null' -%}
        {{ return('select * from ' ~ rows ~ ' where ' ~ column ~ ' is null') }}
    {%- elif macro_id == 'macro.dbt_utils.test_expression_is_true' -%}
        {%- set expression = (column ~ ' ' if column else '') ~ arguments.expression -%}
        {{ return('select * from ' ~ rows ~ ' where not (' ~ expression ~ ')') }}
    {%- elif macro_id.startswith('macro.dbt.') and name in values -%}
        {%- set found = 'select ' ~ values[name] ~ ' from (' ~ audit.sql ~ ') as found' -%}
        {{ return('select * from ' ~ rows ~ ' where (' ~ column ~ ') in (' ~ found ~ ') order by ' ~ column) }}
    {%- elif macro_id in of_keys -%}
        {%- set same = [] -%}
        {%- for group in tidemark.tested_keys(audit.test) -%}
            {%- do same.append('audited.' ~ group ~ ' is not distinct from found.' ~ group) -%}
        {%- endfor -%}
        {{ return(
            'select audited.* from ' ~ rows ~ ' inner join (' ~ audit.sql ~ ') as found on ' ~ same | join(' and ')
        ) }}
    {%- endif -%}
    {{ return(audit.sql) }}
{%- endmacro %}

{#- Columns whose meta says `sensitive` are not kept and not told; nor, of a test about one of them, what it calls by
    another name than the model's columns have. -#}
{%- macro hidden_columns(audit, names) -%}
    {%- set sensitive, known = [], [] -%}
    {%- for column in model.columns.values() -%}
        {%- set meta = dict(column.get('meta') or {}, **((column.get('config') or {}).get('meta') or {})) -%}
        {%- if meta.get('sensitive') -%}
            {%- do sensitive.append(column.name | lower) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set told = tidemark.texts_in(audit.test.test_metadata.kwargs) | join(' ') | lower -%}
    {%- set mentioned = [] -%}
    {%- for name in sensitive if name in told -%}
        {%- do mentioned.append(name) -%}
    {%- endfor -%}
    {%- if mentioned -%}
        {%- for name in run_query('select * from ' ~ audit.rows ~ ' as audited limit 0').column_names -%}
            {%- do known.append(name | lower) -%}
        {%- endfor -%}
        {{ return(names | reject('in', known) | list + sensitive) }}
    {%- endif -%}
    {{ return(sensitive) }}
{%- endmacro %}

{#- Of each model the rows of its last refusal; of its refusals, those since it last succeeded. -#}
{%- macro refusal_statements(refused, rows) -%}
    {%- set name, kept = tidemark.text_literal(model.name), tidemark.ops_table('rejected_rows') -%}
    {%- set partition, now = tidemark.partition_columns(model), tidemark.timestamp_literal(tidemark.wall_clock()) -%}
    {%- set who = tidemark.text_literal(tidemark.run_id()) ~ ', ' ~ name -%}
    {%- set succeeded -%}
        select max(completed_at) from {{ tidemark.ops_table('etl_job_runs') }}
        where job_name = {{ name }} and job_type = 'model' and status = 'success'
    {%- endset -%}
    {%- set refusals, rejected = [], [] -%}
    {%- for audit in refused -%}
        {%- do refusals.append(
            'select ' ~ who ~ ', ' ~ tidemark.text_literal(audit.test.name) ~ ', ' ~ audit.failures ~ ', ' ~ now ~ ', '
            ~ tidemark.as_of()
        ) -%}
    {%- endfor -%}
    {%- for row in rows -%}
        {%- do rejected.append(
            'select ' ~ who ~ ', ' ~ tidemark.text_literal(row.test.name) ~ ', '
            ~ tidemark.text_literal(row['values'].get(partition.get('entity'))) ~ ', '
            ~ tidemark.text_literal(row['values'].get(partition.get('day'))) ~ ', '
            ~ tidemark.text_literal(tojson(row['values'])) ~ ', ' ~ now ~ ', ' ~ tidemark.as_of()
        ) -%}
    {%- endfor -%}
    {%- set table = tidemark.ops_table('refusals') -%}
    {%- set statements = [
        'delete from ' ~ table ~ ' where model_name = ' ~ name ~ ' and refused_at < (' ~ succeeded ~ ')',
        'insert into ' ~ table ~ ' ' ~ refusals | join(' union all '),
        'delete from ' ~ kept ~ ' where model_name = ' ~ name,
    ] -%}
    {{ return(statements + (['insert into ' ~ kept ~ ' ' ~ rejected | join(' union all ')] if rejected else [])) }}
{%- endmacro %}

{#- Which test, how many rows, which; what stays, and of when; what to do. In few lines: dbt and the command line show
    no more than twelve. -#}
{%- macro refusal_in_words(refused, rows) -%}
    {%- set known = tidemark.ledger_state().jobs.get(model.name, {}).get('built_until') -%}
    {%- set lines = ['Nothing was published: the new rows of ' ~ model.name ~ ' failed before they were written.'] -%}
    {%- for audit in refused[:3] -%}
        {%- do lines.append('- ' ~ audit.test.name ~ ': ' ~ audit.failures ~ ' failed') -%}
    {%- endfor -%}
    {%- if refused | length > 3 -%}
        {%- do lines.append('- and ' ~ (refused | length - 3) ~ ' more tests') -%}
    {%- endif -%}
    {%- for row in rows[:5 if refused | length < 3 else 3] -%}
        {%- do lines.append('  ' ~ tidemark.row_in_words(row)) -%}
    {%- endfor -%}
    {%- do lines.append(
        'The table stays as it was, of ' ~ known ~ '.' if known else 'There is no table yet, and none was made.'
    ) -%}
    {%- do lines.append(
        'Correct the model or its input and run again. The rows: select * from '
        ~ tidemark.ops_table('rejected_rows') ~ " where model_name = '" ~ model.name ~ "'."
    ) -%}
    {{ return(lines | join('\n')) }}
{%- endmacro %}

{#- Entity and day first, then what the test is about. -#}
{%- macro row_in_words(row) -%}
    {%- set partition, words = tidemark.partition_columns(model), [] -%}
    {%- set told = tidemark.texts_in(row.test.test_metadata.kwargs) | join(' ') -%}
    {%- set first = [partition.get('entity'), partition.get('day')] -%}
    {%- for name in first if name in row['values'] -%}
        {%- do words.append(name ~ '=' ~ row['values'][name]) -%}
    {%- endfor -%}
    {%- for name, value in row['values'].items() if name not in first and (name in told or not words) -%}
        {%- do words.append(name ~ '=' ~ (value if value is not none else 'null')) -%}
    {%- endfor -%}
    {{ return((words or ['a row of sensitive columns'])[:6] | join(', ')) }}
{%- endmacro %}

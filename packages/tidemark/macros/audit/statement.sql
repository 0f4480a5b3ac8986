{#- Audit before publish: the tests as one statement. Each is what dbt would run, on other rows. -#}

{#- An argument as dbt hands it to the test: relations, values of vars, text. -#}
{%- macro argument_of_test(value, test) -%}
    {%- if value is string -%}
        {%- set id = tidemark.id_named_in(value, test) -%}
        {%- set whole = modules.re.match('^\\s*\\{\\{(((?!\\}\\}).)*)\\}\\}\\s*$', value) -%}
        {%- if id -%}
            {{ return(tidemark.relation_of(graph.nodes.get(id) or graph.sources[id])) }}
        {%- elif whole or modules.re.match('^\\s*(var|env_var)\\s*\\(.+\\)\\s*$', value) -%}
            {{ return(fromjson(render('{{ tojson(' ~ (whole.group(1) if whole else value) ~ ') }}'))) }}
        {%- endif -%}
        {{ return(render(value) if '{' in value else value) }}
    {%- elif value is mapping -%}
        {%- set rendered = {} -%}
        {%- for name, part in value.items() -%}
            {%- do rendered.update({name: tidemark.argument_of_test(part, test)}) -%}
        {%- endfor -%}
        {{ return(rendered) }}
    {%- elif value is sequence -%}
        {%- set rendered = [] -%}
        {%- for part in value -%}
            {%- do rendered.append(tidemark.argument_of_test(part, test)) -%}
        {%- endfor -%}
        {{ return(rendered) }}
    {%- endif -%}
    {{ return(value) }}
{%- endmacro %}

{#- The node that an argument names, as in `ref('customers')`, by its id; none where it names no node. -#}
{%- macro id_named_in(value, test) -%}
    {%- set call = modules.re.match('^\\s*(\\{\\{)?\\s*(ref|source)\\s*\\(([^)]*)\\)\\s*(\\}\\})?\\s*$', value) -%}
    {%- set names = modules.re.findall('[\'"]([^\'"]+)[\'"]', call.group(3)) if call else [] -%}
    {%- for id in test.depends_on.nodes if names -%}
        {%- set node = graph.nodes.get(id) or graph.sources.get(id) or {} -%}
        {%- if node.name == names | last -%}
            {{ return(id) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(none) }}
{%- endmacro %}

{#- The rows that a test looks at: the new ones; with the stored ones of the same keys, of those that stay; or with all
    that stay. As the table will be, they say the same. Where everything is new, `published` is none. -#}
{%- macro rows_to_audit(verdict, new_rows, published, columns) -%}
    {%- if verdict.reads == 'rows' or not published -%}
        {{ return(new_rows) }}
    {%- endif -%}
    {%- set state, keys, same = tidemark.run_state(), [], [] -%}
    {%- for group in verdict.groups -%}
        {%- do keys.append(group ~ ' as audit_key_' ~ loop.index) -%}
        {%- do same.append('(' ~ group ~ ') is not distinct from new_keys.audit_key_' ~ loop.index) -%}
    {%- endfor -%}
    {%- set rows -%}
        (
            select {{ columns }} from {{ new_rows }}
            union all
            select {{ columns }}
            from (
                select stored.*
                from {{ published }} as stored
                left join {{ state.touched }} as touched
                    on stored.{{ state.entity }} = touched.{{ state.entity }} and {{ tidemark.is_replaced() }}
                where touched.{{ state.entity }} is null
            ) as stays
            {%- if keys %}
            inner join (
                select distinct {{ keys | join(', ') }} from {{ new_rows }}
            ) as new_keys on {{ same | join(' and ') }}
            {%- endif %}
        )
    {%- endset -%}
    {{ return(rows) }}
{%- endmacro %}

{#- What dbt would run for a test, with these rows in place of its model. -#}
{%- macro audited_sql(test, rows) -%}
    {%- set arguments, condition = {}, test.config.get('where') -%}
    {%- for name, value in test.test_metadata.kwargs.items() if name != 'model' -%}
        {%- set names_itself = value is string and tidemark.id_named_in(value, test) == model.unique_id -%}
        {#- dbt hands on the name of a column as it stands -#}
        {%- set as_it_stands = name == 'column_name' and value is string -%}
        {%- set given = value if as_it_stands else tidemark.argument_of_test(value, test) -%}
        {%- do arguments.update({name: rows if names_itself else given}) -%}
    {%- endfor -%}
    {%- do arguments.update({
        'model': '(select * from ' ~ rows ~ ' where ' ~ condition ~ ')' if condition else rows
    }) -%}
    {{ return(get_limit_subquery_sql(tidemark.callable_of_test(test)(**arguments), test.config.get('limit'))) }}
{%- endmacro %}

{#- All tests that decide before, and what each would say, as rows of (failures, should_warn, should_error): one
    statement. What they counted is kept in the run's state. -#}
{%- macro prepared_audit(new_rows, published=none, columns=none) -%}
    {%- set audits, counts = [], [] -%}
    {%- set partition = tidemark.partition_columns(model) -%}
    {%- for test in tidemark.tests_of(model.unique_id) -%}
        {%- set verdict = tidemark.audit_of(test, model, partition, selected_resources) -%}
        {%- if verdict.when == 'before' -%}
            {%- set names_itself = model.unique_id in tidemark.ids_named_in(test) -%}
            {%- do verdict.update({'reads': 'whole', 'groups': []} if names_itself else {}) -%}
            {%- set rows = tidemark.rows_to_audit(verdict, new_rows, published, columns) -%}
            {%- set sql = tidemark.audited_sql(test, rows) -%}
            {%- set is_whole = not published or verdict.reads == 'whole' -%}
            {%- do audits.append({'test': test, 'rows': rows, 'sql': sql, 'is_whole': is_whole}) -%}
            {%- set judged = get_test_sql(
                sql, test.config.fail_calc, test.config.warn_if, test.config.error_if, limit=none
            ) -%}
            {%- do counts.append(
                'select ' ~ (audits | length - 1) ~ ' as audit, judged.* from (' ~ judged ~ ') as judged'
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return({'audits': audits, 'sql': counts | join('\nunion all\n')}) }}
{%- endmacro %}

{%- macro ids_named_in(test) -%}
    {%- set ids = [] -%}
    {%- for name, value in test.test_metadata.kwargs.items() if name != 'model' and value is string -%}
        {%- do ids.append(tidemark.id_named_in(value, test)) -%}
    {%- endfor -%}
    {{ return(ids) }}
{%- endmacro %}

{#- Before rows are published. A test that fails as dbt means it stops the model here, and undoes what `is_written` in
    its transaction. -#}
{%- macro audit_rows(new_rows, published=none, columns=none, is_written=false) -%}
    {%- if not tidemark.is_audited() -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set prepared, refused, passed = tidemark.prepared_audit(new_rows, published, columns), [], {} -%}
    {%- if prepared.audits -%}
        {%- for row in run_query(prepared.sql).rows -%}
            {%- set audit = prepared.audits[row[0] | int] -%}
            {%- if row[3] -%}
                {%- do refused.append(dict(audit, failures=row[1] | int)) -%}
            {%- elif not row[2] -%}
                {%- do passed.update({audit.test.unique_id: {'failures': row[1] | int, 'is_whole': audit.is_whole}}) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {%- do tidemark.run_state().update({'audited': passed}) -%}
    {%- if refused -%}
        {%- do tidemark.refuse_to_publish(refused, is_written) -%}
    {%- endif -%}
{%- endmacro %}

{#- What a test of this command's build has been told before its rows were published, if that is what it would say now;
    else none. Of an increment's other rows a test knows that looked at the table as it will be, or has passed on them
    before, unless another table that it reads was written since. -#}
{%- macro audited_failures() -%}
    {%- if not execute or flags.WHICH != 'build' or model.resource_type != 'test' or should_store_failures() -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set state = graph.get('tidemark_states', {}).get(invocation_id ~ (model.attached_node or ''), {}) -%}
    {%- set audit, others = state.get('audited', {}).get(model.unique_id), [] -%}
    {%- if not audit or audit.is_whole -%}
        {{ return(audit.failures if audit else none) }}
    {%- endif -%}
    {%- for id in tidemark.lineage_of_test(model) if id != model.attached_node and tidemark.written_state(id) -%}
        {%- do others.append(id) -%}
    {%- endfor -%}
    {{ return(audit.failures if not others and tidemark.has_passed_before(model) else none) }}
{%- endmacro %}

{#- Where DuckDB and Snowflake differ: tables, transactions and sessions. Each difference once, with its reason. -#}

{#- Statements as one step: dbt-duckdb opens a transaction around a model, dbt-snowflake commits each statement; one
    alone is a transaction there. -#}
{%- macro in_one_transaction(statements) -%}
    {%- set each = [statements] if statements is string else statements -%}
    {{ return(adapter.dispatch('in_one_transaction', 'tidemark')(each | join(';\n\n'), each | length)) }}
{%- endmacro %}
{%- macro duckdb__in_one_transaction(dml, number) -%}
    {{ return(dml) }}
{%- endmacro %}
{%- macro snowflake__in_one_transaction(dml, number) -%}
    {{ return(snowflake_dml_explicit_transaction(dml) if number > 1 else dml) }}
{%- endmacro %}

{#- Of an operation that has to hear what its statements did: begin, commit or rollback. dbt begins DuckDB's
    transactions itself, and rolls them back after an error. -#}
{%- macro control_transaction(word) -%}
    {{ return(adapter.dispatch('control_transaction', 'tidemark')(word)) }}
{%- endmacro %}
{%- macro duckdb__control_transaction(word) -%}
    {%- if word == 'commit' -%}
        {%- do adapter.commit() -%}
    {%- endif -%}
{%- endmacro %}
{%- macro snowflake__control_transaction(word) -%}
    {%- do run_query(word) -%}
{%- endmacro %}

{#- Where a model keeps its touched keys: DuckDB's temporary tables live outside any schema. -#}
{%- macro touched_table(name='touched') -%}
    {{ return(adapter.dispatch('touched_table', 'tidemark')(name)) }}
{%- endmacro %}
{%- macro default__touched_table(name) -%}
    {{ return(this.incorporate(path={'identifier': this.identifier ~ '__' ~ name})) }}
{%- endmacro %}
{%- macro duckdb__touched_table(name) -%}
    {{ return(tidemark.default__touched_table(name).include(database=false, schema=false)) }}
{%- endmacro %}

{#- The run lock (macros/run_lock.sql): whoever has opened a DuckDB file for writing holds it alone, and a killed
    process holds nothing. -#}
{%- macro take_run_lock() -%}
    {{ return(adapter.dispatch('take_run_lock', 'tidemark')()) }}
{%- endmacro %}
{%- macro duckdb__take_run_lock() -%}
{%- endmacro %}

{%- macro renew_run_lock() -%}
    {{ return(adapter.dispatch('renew_run_lock', 'tidemark')()) }}
{%- endmacro %}
{%- macro duckdb__renew_run_lock() -%}
{%- endmacro %}

{%- macro release_run_lock(holder=none) -%}
    {%- set given = tidemark.text_argument('holder', holder, is_optional=true) -%}
    {{ return(adapter.dispatch('release_run_lock', 'tidemark')(given)) }}
{%- endmacro %}
{%- macro duckdb__release_run_lock(holder) -%}
{%- endmacro %}

{#- The columns of a raw table, to be compared with the contract (macros/contract.sql). Not on Snowflake: whose loaders
    keep to the types of the table, and eleven statements in every run would say so. -#}
{%- macro stored_columns(relation) -%}
    {{ return(adapter.dispatch('stored_columns', 'tidemark')(relation)) }}
{%- endmacro %}
{%- macro duckdb__stored_columns(relation) -%}
    {{ return(adapter.get_columns_in_relation(relation)) }}
{%- endmacro %}
{%- macro snowflake__stored_columns(relation) -%}
    {{ return([]) }}
{%- endmacro %}

{#- A model's session, before its first statement. On Snowflake each model has one of its own (profiles.yml), and what
    it costs can be told by its tag: the history of queries knows it, and no dbt. -#}
{%- macro open_session() -%}
    {{ return(adapter.dispatch('open_session', 'tidemark')()) }}
{%- endmacro %}
{%- macro duckdb__open_session() -%}
{%- endmacro %}
{%- macro snowflake__open_session() -%}
    {%- set tag = {'project': model.package_name, 'model': model.name, 'run_id': tidemark.run_id()} -%}
    {#- Snowflake takes 2000 characters -#}
    {%- do run_query('alter session set query_tag = ' ~ tidemark.message_literal(tojson(tag))) -%}
    {%- if tidemark.setting('warehouses') -%}
        {%- set warehouse = tidemark.setting('warehouses').get(tidemark.domain_of(model), target.warehouse) -%}
        {%- do run_query('use warehouse ' ~ warehouse) -%}
    {%- endif -%}
{%- endmacro %}

{#- How many rows a model's query gave. Snowflake has said so when it made a table of them. -#}
{%- macro count_new_rows(relation) -%}
    {{ return(adapter.dispatch('count_new_rows', 'tidemark')(relation)) }}
{%- endmacro %}
{%- macro duckdb__count_new_rows(relation) -%}
    {{ return(tidemark.count_of('(select count(*) from ' ~ relation ~ ')')) }}
{%- endmacro %}
{%- macro snowflake__count_new_rows(relation) -%}
    {%- set made = load_result('create_tmp_relation') -%}
    {%- set rows = made.response.rows_inserted if made else none -%}
    {#- it says nothing where it inserted nothing -#}
    {{ return(tidemark.duckdb__count_new_rows(relation) if rows is none else rows) }}
{%- endmacro %}

{#- Before a table is replaced whole, or by --empty: where its success is not recorded in the transaction of its data,
    the ledger forgets it first. A run that dies in between then leaves a table that is rebuilt, and not one that claims
    to hold what it did. -#}
{%- macro forget_before_rebuild() -%}
    {{ return(adapter.dispatch('forget_before_rebuild', 'tidemark')()) }}
{%- endmacro %}
{%- macro duckdb__forget_before_rebuild() -%}
{%- endmacro %}
{%- macro snowflake__forget_before_rebuild() -%}
    {%- set is_partial = invocation_args_dict.get('empty') or invocation_args_dict.get('sample') -%}
    {%- set is_replaced = config.get('materialized') == 'incremental' and not is_incremental() -%}
    {#- an audited table is forgotten when it has passed: refused, the old one stands -#}
    {%- if is_partial or (is_replaced and not tidemark.is_audited()) -%}
        {%- do tidemark.forget_table() -%}
    {%- endif -%}
{%- endmacro %}

{%- macro forget_table() -%}
    {%- if execute and tidemark.last_watermark() and not tidemark.is_coverage() -%}
        {%- do run_query(tidemark.ledger_insert([{
            'job_name': model.name,
            'job_type': 'reset',
            'status': 'pending',
            'as_of': tidemark.as_of_value(),
            'error_message': 'It is being rebuilt whole.',
            'fingerprint': tidemark.ledger_state().jobs[model.name].fingerprint,
        }])) -%}
    {%- endif -%}
{%- endmacro %}

{#- A table that was made whole is audited before anybody can read it. DuckDB has exchanged it by then, in the
    transaction that ends with the model: refused, it is rolled back. Snowflake publishes each statement, so a copy is
    audited (create_table_as, below). -#}
{%- macro audit_rebuilt() -%}
    {{ return(adapter.dispatch('audit_rebuilt', 'tidemark')()) }}
{%- endmacro %}
{%- macro duckdb__audit_rebuilt() -%}
    {%- if tidemark.run_state().audited is not defined -%}
        {%- do tidemark.audit_rows(this, is_written=true) -%}
    {%- endif -%}
{%- endmacro %}
{%- macro snowflake__audit_rebuilt() -%}
{%- endmacro %}

{#- What a refused model has written in its transaction goes, before it is written down that it was refused. -#}
{%- macro leave_what_was_written() -%}
    {{ return(adapter.dispatch('leave_what_was_written', 'tidemark')()) }}
{%- endmacro %}
{%- macro duckdb__leave_what_was_written() -%}
    {%- do run_query('rollback') -%}
    {%- do run_query('begin') -%}
{%- endmacro %}
{%- macro snowflake__leave_what_was_written() -%}
    {%- do run_query('drop table if exists ' ~ tidemark.run_state().audited_copy) -%}
{%- endmacro %}

{#- dbt's own, for an increment of a model whose code has not changed. dbt asks Snowflake for the types of the query and
    of the contract, two statements per model and run; the table that the rows go into is made with the contract's
    types, and on_schema_change compares that with what is stored. -#}
{%- macro snowflake__get_assert_columns_equivalent(sql) -%}
    {%- if not is_incremental() or tidemark.has_other_code(graph.nodes[model.unique_id]) -%}
        {{ return(assert_columns_equivalent(sql)) }}
    {%- endif -%}
{%- endmacro %}

{#- dbt's own, but for the table of an increment's rows: Snowflake drops it with the session, which ends with the
    model. -#}
{%- macro drop_relation_if_exists(relation) -%}
    {{ return(adapter.dispatch('drop_relation_if_exists', 'tidemark')(relation)) }}
{%- endmacro %}
{%- macro default__drop_relation_if_exists(relation) -%}
    {%- if relation is not none -%}
        {%- do adapter.drop_relation(relation) -%}
    {%- endif -%}
{%- endmacro %}
{%- macro snowflake__drop_relation_if_exists(relation) -%}
    {%- set is_temporary = config.get('materialized') == 'incremental' and not config.get('tmp_relation_type') -%}
    {%- if not (relation and is_temporary and relation.identifier.endswith('__dbt_tmp')) -%}
        {{ return(tidemark.default__drop_relation_if_exists(relation)) }}
    {%- endif -%}
{%- endmacro %}

{#- Overrides dbt's: every table that is made whole comes through here, and dbt makes it while the old one stands. -#}
{%- macro default__create_table_as(temporary, relation, compiled_code, language='sql') -%}
    {%- set query = compiled_code if temporary else tidemark.with_kept_rows(compiled_code) -%}
    {%- set of_adapter = dbt.get(adapter.type() ~ '__create_table_as') or dbt.default__create_table_as -%}
    {%- if not temporary and language == 'sql' and tidemark.is_audited() -%}
        {{ return(tidemark.create_audited(of_adapter, relation, query, kwargs)) }}
    {%- endif -%}
    {{ return(of_adapter(temporary, relation, query, language, **kwargs)) }}
{%- endmacro %}

{#- A table that takes the place of another once it has passed. On Snowflake a copy is made and audited; then one
    statement puts its clone there, which moves no rows. A clone's clustering stands still until it is resumed. -#}
{%- macro create_audited(make, relation, query, options) -%}
    {{ return(adapter.dispatch('create_audited', 'tidemark')(make, relation, query, options)) }}
{%- endmacro %}
{%- macro duckdb__create_audited(make, relation, query, options) -%}
    {{ return(make(false, relation, query, 'sql', **options)) }}
{%- endmacro %}
{%- macro snowflake__create_audited(make, relation, query, options) -%}
    {%- set catalog = adapter.build_catalog_relation(config.model) -%}
    {%- set copy = relation.incorporate(path={'identifier': relation.identifier ~ '__dbt_audit'}) -%}
    {%- if catalog.catalog_type != 'INFO_SCHEMA' or not tidemark.prepared_audit(copy).audits -%}
        {%- do tidemark.forget_table() -%}
        {{ return(make(false, relation, query, 'sql', **options)) }}
    {%- endif -%}
    {%- do tidemark.run_state().update({'audited_copy': copy}) -%}
    {%- call statement('audited_copy') %}{{ make(false, copy, query, 'sql', **options) }}{% endcall -%}
    {%- do tidemark.audit_rows(copy, is_written=true) -%}
    {%- do tidemark.forget_table() -%}
    {%- set kind = 'transient table' if catalog.is_transient else 'table' %}
    create or replace {{ kind }} {{ relation }} clone {{ copy }}{{ ' copy grants' if config.get('copy_grants') }};
    {%- if catalog.cluster_by is not none %}
    alter table {{ relation }} resume recluster;
    {%- endif %}
    drop table if exists {{ copy }};
{%- endmacro %}

{#- Overrides dbt's: what was audited is not asked again, and dbt reports it. -#}
{%- macro default__get_test_sql(main_sql, fail_calc, warn_if, error_if, limit) -%}
    {%- set failures = tidemark.audited_failures() -%}
    {%- set of_adapter = dbt.get(adapter.type() ~ '__get_test_sql') or dbt.default__get_test_sql -%}
    {%- if failures is none -%}
        {{ return(of_adapter(main_sql, fail_calc, warn_if, error_if, limit)) }}
    {%- endif -%}
    select
        {{ failures }} as failures,
        false as should_warn,
        false as should_error
{%- endmacro %}

{#- How many bytes a table takes; none where the engine does not say. -#}
{%- macro stored_bytes(relation) -%}
    {{ return(adapter.dispatch('stored_bytes', 'tidemark')(relation)) }}
{%- endmacro %}
{%- macro duckdb__stored_bytes(relation) -%}
    {{ return(none) }}
{%- endmacro %}
{%- macro snowflake__stored_bytes(relation) -%}
    {%- set sql -%}
        select bytes from {{ relation.information_schema('TABLES') }}
        where
            table_schema = {{ tidemark.text_literal(relation.schema | upper) }}
            and table_name = {{ tidemark.text_literal(relation.identifier | upper) }}
    {%- endset -%}
    {%- set rows = run_query(sql).rows -%}
    {{ return(rows[0][0] | int if rows and rows[0][0] is not none else none) }}
{%- endmacro %}

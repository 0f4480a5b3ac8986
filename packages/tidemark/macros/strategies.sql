{#- The kinds of incremental model. Each deletes what was touched, then inserts what was recomputed: a partition whose
    rows are all gone disappears. The touched keys and their days decide, never the keys of the new rows. -#}

{%- macro get_incremental_partitions_sql(args) -%}
    {{ return(tidemark.replace_touched(args)) }}
{%- endmacro %}

{%- macro get_incremental_replay_sql(args) -%}
    {{ return(tidemark.replace_touched(args)) }}
{%- endmacro %}

{#- A table of sessions also says which partitions it changed: those that sessions were in, and those that they are in
    now. Rebuilt whole it says nothing; then what is built on it is rebuilt whole, too (should_full_refresh). -#}
{%- macro get_incremental_sessions_sql(args) -%}
    {%- set state = tidemark.run_state() -%}
    {%- set changed_keys -%}
        select
            {{ state.entity }} as entity,
            touched_day as day
        from {{ tidemark.touched_table() }}
        where touched_day is not null
        union
        select
            {{ state.entity }} as entity,
            cast({{ state.day }} as date) as day
        from {{ args.temp_relation }}
    {%- endset -%}
    {{ return(tidemark.replace_touched(args, also=[tidemark.changed_keys_insert(changed_keys)])) }}
{%- endmacro %}

{#- Small tables are rebuilt whole: every row goes, and what was computed from all visible rows comes. -#}
{%- macro get_incremental_full_sql(args) -%}
    {{ return(tidemark.replace_rows(args, 'delete from ' ~ args.target_relation)) }}
{%- endmacro %}

{%- macro replace_touched(args, also=[]) -%}
    {%- set state = tidemark.run_state() -%}
    {%- if state.entity is not defined -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ' is incremental, but nothing says what a run replaces: neither touched_partitions, '
            ~ 'replay_from, touched_sessions nor changed_partitions.'
        ) }}
    {%- endif -%}
    {%- set deletion -%}
        {#- Snowflake's pages show an alias here, and no `as` before it #}
        delete from {{ args.target_relation }} stored
        using {{ tidemark.touched_table() }} touched
        where stored.{{ state.entity }} = touched.{{ state.entity }} and {{ tidemark.is_replaced() }}
    {%- endset -%}
    {{ return(tidemark.replace_rows(args, deletion, also)) }}
{%- endmacro %}

{#- Which stored rows of a touched entity go. Literal days beside the touched ones let the engine skip the others. -#}
{%- macro is_replaced() -%}
    {%- set state, strategy = tidemark.run_state(), config.get('incremental_strategy') -%}
    {%- set day, touched_days = 'stored.' ~ state.day, state.touched_days or [] -%}
    {#- one range, not ten: a fully refreshed table lies in no order of days, so more ranges cost and skip nothing -#}
    {%- set span = tidemark.merged_ranges(touched_days, most=1) -%}
    {%- if strategy == 'replay' -%}
        {%- set from_first = [(tidemark.first_of(touched_days[0]), none)] if touched_days else [] -%}
        {%- set bound = tidemark.within(day, from_first) if touched_days else 'false' -%}
        {{ return(day ~ ' >= touched.replay_from and ' ~ bound) }}
    {%- elif strategy == 'sessions' -%}
        {#- where the stored is doubted, a session may be stored on several days -#}
        {%- set is_near = tidemark.within(day, none if state.requests or state.window else span) -%}
        {{ return('stored.' ~ state.session ~ ' = touched.' ~ state.session ~ ' and ' ~ is_near) }}
    {%- endif -%}
    {{ return('cast(' ~ day ~ ' as date) = touched.touched_day and ' ~ tidemark.within(day, span)) }}
{%- endmacro %}

{%- macro replace_rows(args, deletion, also=[]) -%}
    {%- if tidemark.run_state().mode == 'coverage' -%}
        {{ return(tidemark.coverage_dml(args)) }}
    {%- endif -%}
    {%- set columns = args.dest_columns | map(attribute='quoted') | join(', ') -%}
    {%- set stays = none if config.get('incremental_strategy') == 'full' else args.target_relation -%}
    {%- do tidemark.audit_rows(args.temp_relation, stays, columns) -%}
    {%- do tidemark.run_state().update({'rows': tidemark.count_new_rows(args.temp_relation)}) -%}
    {%- set insertion -%}
        insert into {{ args.target_relation }} ({{ columns }})
        select {{ columns }} from {{ args.temp_relation }}
    {%- endset -%}
    {{ return(tidemark.in_one_transaction([deletion, insertion] + also)) }}
{%- endmacro %}

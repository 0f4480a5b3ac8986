{#- The kinds of incremental model. Each deletes what was touched, then inserts what was recomputed: a partition whose
    rows are all gone disappears. The touched keys and their days decide, never the keys of the new rows. -#}

{%- macro get_incremental_partitions_sql(args) -%}
    {#- one range, not ten: a fully refreshed table lies in no order of days, so more ranges cost and skip nothing -#}
    {%- set day, span = 'stored.' ~ run_state().day, merged_ranges(run_state().touched_days or [], most=1) -%}
    {{ return(replace_touched(args, 'cast(' ~ day ~ ' as date) = touched.touched_day and ' ~ within(day, span))) }}
{%- endmacro %}

{%- macro get_incremental_replay_sql(args) -%}
    {%- set day, first_days = 'stored.' ~ run_state().day, (run_state().touched_days or [])[:1] -%}
    {%- set bound = day ~ " >= '" ~ first_days[0] ~ "'" if first_days else 'false' -%}
    {{ return(replace_touched(args, day ~ ' >= touched.replay_from and ' ~ bound)) }}
{%- endmacro %}

{#- A table of sessions also says which partitions it changed: those that sessions were in, and those that they are in
    now. Rebuilt whole it says nothing; then what is built on it is rebuilt whole, too (should_full_refresh). -#}
{%- macro get_incremental_sessions_sql(args) -%}
    {%- set state = run_state() -%}
    {%- set is_touched = 'stored.' ~ state.session ~ ' = touched.' ~ state.session -%}
    {#- where the stored is doubted, a session may be stored on several days -#}
    {%- set days = none if state.requests or state.window else merged_ranges(state.touched_days or [], most=1) -%}
    {%- set is_near = within('stored.' ~ state.day, days) -%}
    {%- set changed_keys -%}
        select
            {{ state.entity }} as entity,
            touched_day as day
        from {{ touched_table() }}
        where touched_day is not null
        union
        select
            {{ state.entity }} as entity,
            cast({{ state.day }} as date) as day
        from {{ args.temp_relation }}
    {%- endset -%}
    {{ return(replace_touched(args, is_touched ~ ' and ' ~ is_near, also=changed_keys_insert(changed_keys))) }}
{%- endmacro %}

{#- Small tables are rebuilt whole: every row goes, and what was computed from all visible rows comes. -#}
{%- macro get_incremental_whole_sql(args) -%}
    {%- if run_state().mode == 'coverage' -%}
        {{ return(coverage_dml(args)) }}
    {%- endif -%}
    {%- set columns = args.dest_columns | map(attribute='quoted') | join(', ') -%}
    {%- set dml -%}
        delete from {{ args.target_relation }};

        insert into {{ args.target_relation }} ({{ columns }})
        select {{ columns }} from {{ args.temp_relation }}
    {%- endset -%}
    {{ return(in_one_transaction(dml)) }}
{%- endmacro %}

{%- macro replace_touched(args, condition, also='') -%}
    {%- set state = run_state() -%}
    {%- if state.entity is not defined -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ' is incremental, but nothing says what a run replaces: neither touched_partitions, '
            ~ 'replay_from, touched_sessions nor changed_partitions.'
        ) }}
    {%- endif -%}
    {%- if state.mode == 'coverage' -%}
        {{ return(coverage_dml(args)) }}
    {%- endif -%}
    {%- set columns = args.dest_columns | map(attribute='quoted') | join(', ') -%}
    {%- do state.update({'rows': run_query('select count(*) from ' ~ args.temp_relation).rows[0][0] | int}) -%}
    {%- set dml -%}
        delete from {{ args.target_relation }} as stored
        using {{ touched_table() }} as touched
        where stored.{{ state.entity }} = touched.{{ state.entity }} and {{ condition }};

        insert into {{ args.target_relation }} ({{ columns }})
        select {{ columns }} from {{ args.temp_relation }}
        {{- also }}
    {%- endset -%}
    {{ return(in_one_transaction(dml)) }}
{%- endmacro %}

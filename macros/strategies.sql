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

{%- macro replace_touched(args, condition) -%}
    {%- set state = run_state() -%}
    {%- if state.entity is not defined -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ' is incremental, but neither touched_partitions nor replay_from says what a run replaces.'
        ) }}
    {%- endif -%}
    {%- set columns = args.dest_columns | map(attribute='quoted') | join(', ') -%}
    {%- do state.update({'rows': run_query('select count(*) from ' ~ args.temp_relation).rows[0][0] | int}) -%}
    {%- set dml -%}
        delete from {{ args.target_relation }} as stored
        using {{ touched_table() }} as touched
        where stored.{{ state.entity }} = touched.{{ state.entity }} and {{ condition }};

        insert into {{ args.target_relation }} ({{ columns }})
        select {{ columns }} from {{ args.temp_relation }}
    {%- endset -%}
    {{ return(in_one_transaction(dml)) }}
{%- endmacro %}

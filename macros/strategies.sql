{#- The kinds of incremental model. Each deletes what was touched, then inserts what was recomputed: a partition whose rows are
    all gone disappears. Only literal days and the touched keys decide, never the keys of the new rows. -#}

{%- macro get_incremental_partitions_sql(args) -%}
    {%- set state = run_state() -%}
    {{ return(replace_touched(args,
        'cast(stored.' ~ state.day ~ ' as date) = touched.touched_day and '
        ~ within('stored.' ~ state.day, merged_ranges(state.touched_days)))) }}
{%- endmacro %}

{%- macro get_incremental_replay_sql(args) -%}
    {{ return(replace_touched(args, 'stored.' ~ run_state().day ~ ' >= touched.replay_from')) }}
{%- endmacro %}

{%- macro replace_touched(args, condition) -%}
    {%- set state = run_state() -%}
    {%- if state.entity is not defined -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ' is incremental, but reads through none of touched_partitions and replay_from: what should be replaced?') }}
    {%- endif -%}
    {%- set columns = args.dest_columns | map(attribute='quoted') | join(', ') -%}
    {%- do state.update({'rows': run_query('select count(*) from ' ~ args.temp_relation).rows[0][0]}) -%}
    {%- set dml -%}
        delete from {{ args.target_relation }} as stored
        using {{ touched_table() }} as touched
        where stored.{{ state.entity }} = touched.{{ state.entity }} and {{ condition }};

        insert into {{ args.target_relation }} ({{ columns }})
        select {{ columns }} from {{ args.temp_relation }}
    {%- endset -%}
    {{ return(in_one_transaction(dml)) }}
{%- endmacro %}

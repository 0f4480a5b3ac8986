{#- run-operation: the demo's accident. Somebody deletes three days of one team by hand. -#}
{%- macro delete_three_days() -%}
    {%- if target.name != 'demo' -%}
        {{ exceptions.raise_compiler_error('Rows are lost on target demo alone. Nothing was touched.') }}
    {%- endif -%}
    {%- set sql -%}
        delete from {{ target.database }}.marts.web_hourly_stats
        where
            team_id = 1
            and cast(period_bucket as date) >= {{ date_literal('2025-10-07') }}
            and cast(period_bucket as date) <= {{ date_literal('2025-10-09') }}
    {%- endset -%}
    {%- do write_down(sql) -%}
{%- endmacro %}

{#- Hooks of the seeds: `dbt seed` writes a raw table anew, and what was loaded into it besides is put back. The ledger
    says that it is there. -#}
{%- macro keep_landed_rows() -%}
    {%- if execute and flags.WHICH in ('seed', 'build') and has_landed_rows() -%}
        {%- set loaded_at = graph.sources['source.' ~ project_name ~ '.raw.' ~ this.identifier].loaded_at_field -%}
        create or replace temporary table {{ touched_table('landed') }} as
        select * from {{ this }}
        where {{ loaded_at }} in (
            select loaded_at from {{ ops_table('landed_files') }} where {{ is_landed_here() }}
        )
    {%- endif -%}
{%- endmacro %}

{%- macro put_landed_rows_back() -%}
    {%- if execute and flags.WHICH in ('seed', 'build') and has_landed_rows() -%}
        insert into {{ this }} by name select * from {{ touched_table('landed') }}
    {%- endif -%}
{%- endmacro %}

{%- macro has_landed_rows() -%}
    {%- set key = 'tidemark_landed' ~ invocation_id ~ this.identifier -%}
    {%- if key not in graph -%}
        {%- set is_known = load_relation(this) is not none and load_relation(ops_table('landed_files')) is not none -%}
        {%- set landed = '(select count(*) from ' ~ ops_table('landed_files') ~ ' where ' ~ is_landed_here() ~ ')' -%}
        {%- do graph.update({key: is_known and count_of(landed) > 0}) -%}
    {%- endif -%}
    {{ return(graph[key]) }}
{%- endmacro %}

{%- macro is_landed_here() -%}
    {{ return("status = 'loaded' and table_name = '" ~ this.identifier ~ "'") }}
{%- endmacro %}

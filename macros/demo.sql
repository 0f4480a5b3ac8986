{#- run-operation: the demo's accident. Somebody deletes three days of one team by hand. -#}
{%- macro delete_three_days() -%}
    {%- if target.name != 'demo' -%}
        {{ exceptions.raise_compiler_error('Rows are lost on target demo alone. Nothing was touched.') }}
    {%- endif -%}
    {%- set sql -%}
        delete from {{ target.database }}.marts.web_hourly_stats
        where team_id = 1 and cast(period_bucket as date) between '2025-10-07' and '2025-10-09'
    {%- endset -%}
    {%- do write_down(sql) -%}
{%- endmacro %}

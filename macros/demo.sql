{#- run-operation: the demo's accident. Somebody deletes three days of one team by hand. -#}
{%- macro delete_three_days() -%}
    {%- if target.name != 'demo' -%}
        {{ exceptions.raise_compiler_error('Rows are lost on target demo alone. Nothing was touched.') }}
    {%- endif -%}
    {%- do tidemark.refuse_earlier_clock() -%}
    {%- set sql -%}
        delete from {{ target.database }}.intermediate.web_hourly_stats
        where
            team_id = 1
            and cast(period_bucket as date) >= {{ tidemark.date_literal('2025-10-07') }}
            and cast(period_bucket as date) <= {{ tidemark.date_literal('2025-10-09') }}
    {%- endset -%}
    {%- do tidemark.write_down(sql) -%}
{%- endmacro %}

{#- on-run-start. Seeding writes raw tables anew. A row that is neither a seed nor landed is somebody's own, as where
    the targets share a file, and nothing would bring it back. -#}
{%- macro refuse_to_erase() -%}
    {%- if not execute or flags.WHICH not in ('seed', 'build') -%}
        {{ return('') }}
    {%- endif -%}
    {#- an earlier clock is refused before, whichever hook comes first -#}
    {%- do tidemark.refuse_earlier_clock() -%}
    {%- set counts, own = [], [] -%}
    {%- for id in selected_resources if id.startswith('seed.') -%}
        {%- set relation = load_relation(tidemark.relation_of(graph.nodes[id])) -%}
        {%- if relation is not none and relation.is_table -%}
            {%- do counts.append(rows_besides_seeds(graph.nodes[id], relation)) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for row in (run_query(counts | join(' union all ')).rows if counts else []) if row[1] -%}
        {%- do own.append(row[0] ~ ' (' ~ row[1] ~ ')') -%}
    {%- endfor -%}
    {%- if own -%}
        {%- do tidemark.release_run_lock() -%}
        {{ exceptions.raise_compiler_error(
            'The seeds of target ' ~ target.name ~ ' would erase rows that are neither seeds nor landed, of '
            ~ own | join(', ') ~ ' in ' ~ target.path ~ '. Nothing was touched. If these are your own raw tables, name '
            ~ 'their target (--target duckdb), or give the demo another file (TIDEMARK_DEMO_PATH). If they may go, '
            ~ 'drop the tables first.'
        ) }}
    {%- endif -%}
{%- endmacro %}

{#- As text, since types may differ; with other columns it is no seed at all. -#}
{%- macro rows_besides_seeds(seed, relation) -%}
    {%- set types, texts, fields = seed.config.column_types, [], [] -%}
    {%- for name, type in types.items() -%}
        {%- do texts.append('cast(' ~ adapter.quote(name) ~ ' as varchar)') -%}
        {%- do fields.append(tidemark.text_literal(name) ~ ': ' ~ tidemark.text_literal(type)) -%}
    {%- endfor -%}
    {%- set stored = adapter.get_columns_in_relation(relation) | map(attribute='name') | map('lower') | list -%}
    {%- set source = graph.sources['source.' ~ project_name ~ '.raw.' ~ seed.name] -%}
    select
        '{{ relation.schema }}.{{ relation.identifier }}' as own_table,
        count(*) as own_rows
    from (
        {%- if stored | sort != types | sort %}
        select * from {{ relation }}
        {%- else %}
        select {{ texts | join(', ') }} from {{ relation }}
        {%- if load_relation(tidemark.ops_table('landed_files')) is not none %}
        where not coalesce({{ source.loaded_at_field }} in (
            select loaded_at from {{ tidemark.ops_table('landed_files') }} where {{ is_landed(seed.name) }}
        ), false)
        {%- endif %}
        except
        (
            {#- materialized, or the engine would read the file's own text #}
            with seeds as materialized (
                select *
                from read_csv(
                    {{ tidemark.text_literal(adapter.get_seed_file_path(seed)) }},
                    header = true, delim = ',', columns = { {{- fields | join(', ') -}} }
                )
            )

            select {{ texts | join(', ') }} from seeds
        )
        {%- endif %}
    ) as own
{%- endmacro %}

{#- Hooks of the seeds: `dbt seed` writes a raw table anew, and what was loaded into it besides is put back. The ledger
    says that it is there. -#}
{%- macro keep_landed_rows() -%}
    {%- if execute and flags.WHICH in ('seed', 'build') and has_landed_rows() -%}
        {%- set loaded_at = graph.sources['source.' ~ project_name ~ '.raw.' ~ this.identifier].loaded_at_field -%}
        create or replace temporary table {{ tidemark.touched_table('landed') }} as
        select * from {{ this }}
        where {{ loaded_at }} in (
            select loaded_at from {{ tidemark.ops_table('landed_files') }} where {{ is_landed(this.identifier) }}
        )
    {%- endif -%}
{%- endmacro %}

{%- macro put_landed_rows_back() -%}
    {%- if execute and flags.WHICH in ('seed', 'build') and has_landed_rows() -%}
        insert into {{ this }} by name select * from {{ tidemark.touched_table('landed') }}
    {%- endif -%}
{%- endmacro %}

{%- macro has_landed_rows() -%}
    {%- set key = 'tidemark_landed' ~ invocation_id ~ this.identifier -%}
    {%- if key not in graph -%}
        {%- set files = tidemark.ops_table('landed_files') -%}
        {%- set is_known = load_relation(this) is not none and load_relation(files) is not none -%}
        {%- set is_here = is_landed(this.identifier) -%}
        {%- set landed = '(select count(*) from ' ~ files ~ ' where ' ~ is_here ~ ')' -%}
        {%- do graph.update({key: is_known and tidemark.count_of(landed) > 0}) -%}
    {%- endif -%}
    {{ return(graph[key]) }}
{%- endmacro %}

{%- macro is_landed(name) -%}
    {{ return("status = 'loaded' and table_name = '" ~ name ~ "'") }}
{%- endmacro %}

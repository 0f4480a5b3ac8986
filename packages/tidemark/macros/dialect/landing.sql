{#- Where DuckDB and Snowflake differ: files and their loading. Each difference once, with its reason. -#}

{#- What loaders need. On DuckDB whoever opens the file may do everything: there are tables, and nobody to be let
    in. -#}
{%- macro landing_ddl() -%}
    {{ return(adapter.dispatch('landing_ddl', 'tidemark')()) }}
{%- endmacro %}
{%- macro duckdb__landing_ddl() -%}
    {{ return(tidemark.raw_tables_ddl()) }}
{%- endmacro %}
{%- macro snowflake__landing_ddl() -%}
    {{ return(tidemark.snowflake_landing_ddl()) }}
{%- endmacro %}

{#- Landed files, some of one raw table: their columns, a row of path and name each. DuckDB reads them where they are,
    Snowflake through the stage of create_landing, whose files have no columns but parts of `$1`. -#}
{%- macro landed_columns(root, paths) -%}
    {{ return(adapter.dispatch('landed_columns', 'tidemark')(root, paths)) }}
{%- endmacro %}
{%- macro duckdb__landed_columns(root, paths) -%}
    select file_name[{{ root | length + 2 }}:], name, duckdb_type
    from parquet_schema({{ tidemark.duckdb_urls(root, paths) }})
    {#- the schema itself is its first element -#}
    where num_children is null
{%- endmacro %}
{%- macro snowflake__landed_columns(root, paths) -%}
    {%- for path in paths %}
    select {{ tidemark.text_literal(path) }}, column_name, cast(null as varchar)
    from table(infer_schema(
        location => {{ tidemark.stage_location(path) }}, file_format => '{{ tidemark.raw_schema() }}.landing_parquet'
    ))
    {{- ' union all' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{#- How many rows they have, and the earliest load time; a file without rows may be left out. Of columns of other types
    than the table's (macros/contract.sql), a value that cannot be converted. -#}
{%- macro landed_rows(root, paths, loaded_at, converted={}) -%}
    {{ return(adapter.dispatch('landed_rows', 'tidemark')(root, paths, loaded_at, converted)) }}
{%- endmacro %}
{%- macro duckdb__landed_rows(root, paths, loaded_at, converted) -%}
    {%- set load_time = converted[loaded_at].value if loaded_at in converted else loaded_at -%}
    select
        filename[{{ root | length + 2 }}:],
        count(*),
        {{ tidemark.within_calendar('min(' ~ load_time ~ ')', 'timestamp') }}
        {%- for name, conversion in converted.items() %},
        min(case when {{ tidemark.is_unfit(name, conversion) }} then cast({{ adapter.quote(name) }} as varchar) end)
        {%- endfor %}
    from read_parquet({{ tidemark.duckdb_urls(root, paths) }}, filename = true, hive_partitioning = false)
    group by filename
{%- endmacro %}
{%- macro snowflake__landed_rows(root, paths, loaded_at, converted) -%}
    {%- for path in paths %}
    select {{ tidemark.text_literal(path) }}, count(*), min(cast($1:{{ loaded_at }} as timestamp_ntz))
    from {{ tidemark.stage_location(path) }} (file_format => '{{ tidemark.raw_schema() }}.landing_parquet')
    {{- ' union all' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{#- Their rows into a table, column by column of the same name. Snowflake keeps a load history of its own besides, and
    skips what stands in it; that a rollback takes that back, too, is promised nowhere. The ledger decides: `force`. -#}
{%- macro copy_files(root, paths, relation, converted={}) -%}
    {{ return(adapter.dispatch('copy_files', 'tidemark')(root, paths, relation, converted)) }}
{%- endmacro %}
{%- macro duckdb__copy_files(root, paths, relation, converted) -%}
    insert into {{ relation }} by name
    select *
    {%- for name, conversion in converted.items() -%}
        {{ ' replace (' if loop.first else ', ' }}{{ conversion.value }} as {{ adapter.quote(name) }}
        {{- ')' if loop.last }}
    {%- endfor %}
    from read_parquet({{ tidemark.duckdb_urls(root, paths) }}, union_by_name = true, hive_partitioning = false)
{%- endmacro %}
{%- macro snowflake__copy_files(root, paths, relation, converted) -%}
    copy into {{ relation }}
    from @{{ tidemark.raw_schema() }}.landing
    files = ({{ tidemark.text_literals(paths) }})
    file_format = (format_name = '{{ tidemark.raw_schema() }}.landing_parquet')
    match_by_column_name = case_insensitive
    on_error = abort_statement
    force = true
{%- endmacro %}

{#- What has become of loads, in the two weeks less a day that Snowflake remembers at least, whatever zone a session
    reads this clock in: a row per file and load. DuckDB has no pipes, and so nothing of the kind. -#}
{%- macro copy_history(relation) -%}
    {{ return(adapter.dispatch('copy_history', 'tidemark')(relation)) }}
{%- endmacro %}
{%- macro duckdb__copy_history(relation) -%}
    (
        select
            cast(null as varchar) as file_name,
            cast(null as varchar) as status,
            cast(null as varchar) as first_error_message,
            cast(null as timestamp) as last_load_time
        where false
    )
{%- endmacro %}
{%- macro snowflake__copy_history(relation) -%}
    table({{ relation.database }}.information_schema.copy_history(
        table_name => '{{ relation }}', start_time => dateadd('day', -13, sysdate())
    ))
{%- endmacro %}

{%- macro stage_location(path) -%}
    {{ return(tidemark.text_literal('@' ~ tidemark.raw_schema() ~ '.landing/' ~ path)) }}
{%- endmacro %}

{#- DuckDB takes every path for a pattern, in a bucket even that of a file which is there: a*.parquet would load
    ab.parquet once more. In brackets a character means itself. A folder with a backslash in its name matches no
    pattern: there the path stays as it is, and only what is there is found. -#}
{%- macro duckdb_urls(root, paths) -%}
    {%- set urls = [] -%}
    {%- for path in paths -%}
        {%- set url = root ~ '/' ~ path -%}
        {%- if '://' in root or '\\' not in url -%}
            {%- set url = url.replace('[', '[[]').replace('*', '[*]').replace('?', '[?]') -%}
        {%- endif -%}
        {%- do urls.append(tidemark.text_literal(url)) -%}
    {%- endfor -%}
    {{ return('[' ~ urls | join(', ') ~ ']') }}
{%- endmacro %}

{#- Where loaders write: the raw tables, with the columns that the sources' YAML gives them, and on Snowflake what files
    are loaded with and who may do what. -#}

{#- run-operation: makes what loaders need, or with `dry_run` prints what that is. What is there stays as it is. -#}
{%- macro create_landing(dry_run=false) -%}
    {%- if tidemark.flag_argument('dry_run', dry_run) -%}
        {%- do print(tidemark.landing_ddl() | trim) -%}
    {%- else -%}
        {%- do tidemark.refuse_earlier_clock() -%}
        {%- do tidemark.make_objects(tidemark.landing_ddl()) -%}
    {%- endif -%}
{%- endmacro %}

{#- DDL that makes a raw table, unless it is there. -#}
{%- macro raw_table_ddl(source) -%}
    create table if not exists {{ tidemark.relation_of(source) }} (
    {%- for column in source.columns.values() %}
        {{ column.name }} {{ column.data_type }}{{ ',' if not loop.last }}
    {%- endfor %}
    )
{%- endmacro %}

{#- All raw tables of the domains that are switched on, and their schema. -#}
{%- macro raw_tables_ddl() -%}
    create schema if not exists {{ tidemark.raw_schema() }};
    {%- for source in tidemark.raw_sources() %}

    {{ tidemark.raw_table_ddl(source) }};
    {%- endfor %}
{%- endmacro %}

{#- The watched sources, by name. -#}
{%- macro raw_sources() -%}
    {%- set watched = [] -%}
    {%- for source in graph.sources.values() if tidemark.is_watched(source) -%}
        {%- do watched.append(source) -%}
    {%- endfor -%}
    {{ return(watched | sort(attribute='name')) }}
{%- endmacro %}

{#- Where the raw tables lie: those of one project lie together. -#}
{%- macro raw_schema() -%}
    {{ return(tidemark.relation_of(tidemark.raw_sources()[0]).include(identifier=false)) }}
{%- endmacro %}


{#- Snowflake -#}

{#- The roles that own and grant things are Snowflake's own: who runs this holds them, as ACCOUNTADMIN does. -#}
{%- macro snowflake_landing_ddl() -%}
    {%- set marts = api.Relation.create(database=target.database, schema=target.schema).include(identifier=false) %}
    use role sysadmin;

    {%- for warehouse in tidemark.warehouses_in_use() %}

    create warehouse if not exists {{ warehouse }}
        warehouse_size = xsmall auto_suspend = 60 auto_resume = true initially_suspended = true;
    {%- endfor %}
    {%- for database in [target.database, tidemark.raw_schema().database] | unique %}

    create database if not exists {{ database }};
    {%- endfor %}

    create schema if not exists {{ marts }};

    {{ tidemark.raw_tables_ddl() }}

    create file format if not exists {{ tidemark.raw_schema() }}.landing_parquet type = parquet use_logical_type = true;

    create stage if not exists {{ tidemark.raw_schema() }}.landing
    {%- if tidemark.setting('landing').url %}
        {#- Snowflake puts nothing between this and the name of a file #}
        url = {{ tidemark.text_literal(tidemark.setting('landing').url.rstrip('/') ~ '/') }}
    {%- endif %}
    {%- if tidemark.setting('landing').storage_integration %}
        storage_integration = {{ tidemark.setting('landing').storage_integration }}
    {%- endif %}
        file_format = (format_name = {{ tidemark.text_literal(tidemark.raw_schema() ~ '.landing_parquet') }});
    {%- for source in tidemark.raw_sources() if tidemark.setting('landing').pipes %}

    alter table {{ tidemark.relation_of(source) }} add column if not exists failed_values varchar;

    {{ tidemark.pipe_ddl(source) }};
    {%- endfor %}

    {{ tidemark.roles_ddl(marts) }}
{%- endmacro %}

{#- The profile's for everything, and those that single folders of marts are built with. -#}
{%- macro warehouses_in_use() -%}
    {%- set of_marts = (tidemark.setting('warehouses') or {}).values() | list -%}
    {{ return(([target.warehouse] + of_marts) | unique(case_sensitive=true) | list) }}
{%- endmacro %}

{#- Rows that a pipe loads get the time that it reads them for their load time: it tells no job of a file that it has
    loaded late, and rows that seem to be older than the last run would not be seen.

    A pipe skips a file with a value that does not cast, and says so in COPY_HISTORY alone. So nothing here can fail to
    cast: what is no value of its column's type is null, and kept as text in `failed_values`, for the quarantine. -#}
{%- macro pipe_ddl(source) -%}
    {%- set columns, failed = source.columns.values() | map(attribute='name') | list, [] -%}
    {%- for column in source.columns.values() if column.name != source.loaded_at_field -%}
        {%- set text, value = 'cast($1:' ~ column.name ~ ' as varchar)', tidemark.pipe_value(column) -%}
        {%- if value != text -%}
            {%- do failed.append(
                tidemark.text_literal(column.name) ~ ', case when ' ~ value ~ ' is null then ' ~ text ~ ' end'
            ) -%}
        {%- endif -%}
    {%- endfor %}
    create pipe if not exists {{ tidemark.raw_schema() }}.{{ source.name }}_pipe
        {%- if tidemark.setting('landing').url %}
        auto_ingest = true
        {%- endif %}
        as copy into {{ tidemark.relation_of(source) }} ({{ columns | join(', ') }}, failed_values)
        from (
            select
            {%- for column in source.columns.values() %}
                {%- if column.name == source.loaded_at_field %}
                cast(convert_timezone('UTC', metadata$start_scan_time) as timestamp_ntz),
                {%- else %}
                {{ tidemark.pipe_value(column) }},
                {%- endif %}
            {%- endfor %}
                {#- it leaves out what is null #}
                nullif(cast(object_construct({{ failed | join(', ') }}) as varchar), '{}')
            from @{{ tidemark.raw_schema() }}.landing/{{ source.name }}/
        )
{%- endmacro %}

{#- Parquet has times as times; what is none is read as text, which has fewer digits. -#}
{%- macro pipe_value(column) -%}
    {%- set value, type = '$1:' ~ column.name, column.data_type -%}
    {%- set text = 'cast(' ~ value ~ ' as varchar)' -%}
    {%- if type == 'varchar' -%}
        {{ return(text) }}
    {%- elif not type.startswith('timestamp') -%}
        {{ return('try_cast(' ~ text ~ ' as ' ~ type ~ ')') }}
    {%- endif -%}
    {%- set is_time = [] -%}
    {%- for kind in ('ntz', 'ltz', 'tz') -%}
        {%- do is_time.append('is_timestamp_' ~ kind ~ '(' ~ value ~ ')') -%}
    {%- endfor -%}
    {{ return(
        'case when ' ~ is_time | join(' or ') ~ ' then cast(' ~ value ~ ' as ' ~ type ~ ') '
        ~ 'else try_cast(' ~ text ~ ' as ' ~ type ~ ') end'
    ) }}
{%- endmacro %}

{#- For staging: what a pipe could not read of a row, and the reason for which that row waits. Nothing without
    pipes. -#}
{%- macro failed_values() -%}
    {{ return('failed_values,' if tidemark.setting('landing').pipes else '') }}
{%- endmacro %}

{%- macro when_failed_values() -%}
    {%- set reason = "when failed_values is not null then 'a value could not be read'" -%}
    {{ return(reason if tidemark.setting('landing').pipes else '') }}
{%- endmacro %}

{#- Per raw table, which files its pipe skipped or loaded in part, as far as Snowflake's history reaches, and did not
    load since. -#}
{%- macro skipped_files(sources) -%}
    {%- for source in sources %}
    select
        '{{ source.name }}' as source_name,
        count(*) as files,
        max(concat(file_name, ': ', first_error_message)) as told
    from (
        select file_name, status, first_error_message
        from {{ tidemark.copy_history(tidemark.relation_of(source)) }} as history
        qualify row_number() over (partition by file_name order by last_load_time desc) = 1
    ) as last_loads
    where lower(status) like '%failed' or lower(status) like 'partially%'
    {{- ' union all' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{#- Loaders write raw tables, the transformer reads them and writes all else, reporters read the marts. -#}
{%- macro roles_ddl(marts) -%}
    {%- set raw, roles = tidemark.raw_schema(), tidemark.setting('landing').roles -%}
    use role useradmin;
    {%- for role in roles.values() %}

    create role if not exists {{ role }};

    grant role {{ role }} to role sysadmin;
    {%- endfor %}

    use role securityadmin;
    {%- for role in roles.values() %}

    grant usage on warehouse {{ target.warehouse }} to role {{ role }};
    {%- endfor %}
    {%- for warehouse in tidemark.warehouses_in_use() if warehouse != target.warehouse %}

    grant usage on warehouse {{ warehouse }} to role {{ roles.transformer }};
    {%- endfor %}
    {%- for role in [roles.loader, roles.transformer] %}

    grant usage on database {{ raw.database }} to role {{ role }};

    grant usage on schema {{ raw }} to role {{ role }};
    {%- endfor %}
    {%- for scope in ['all', 'future'] %}

    grant select, insert, update, delete, truncate on {{ scope }} tables in schema {{ raw }} to role {{ roles.loader }};

    grant select on {{ scope }} tables in schema {{ raw }} to role {{ roles.transformer }};

    grant select on {{ scope }} views in schema {{ raw }} to role {{ roles.transformer }};
    {%- endfor %}
    {#- one by one: Snowflake refuses grants on all pipes of a schema -#}
    {%- for source in tidemark.raw_sources() if tidemark.setting('landing').pipes %}

    grant operate, monitor on pipe {{ raw }}.{{ source.name }}_pipe to role {{ roles.loader }};
    {%- endfor %}

    grant usage on file format {{ raw }}.landing_parquet to role {{ roles.loader }};

    grant {{ 'usage' if tidemark.setting('landing').url else 'read, write' }}
    on stage {{ raw }}.landing to role {{ roles.loader }};

    grant usage, create schema on database {{ target.database }} to role {{ roles.transformer }};

    grant ownership on schema {{ marts }} to role {{ roles.transformer }} copy current grants;

    grant usage on database {{ target.database }} to role {{ roles.reporter }};

    grant usage on schema {{ marts }} to role {{ roles.reporter }};
    {%- for scope in ['all', 'future'] %}
    {%- for kind in ['tables', 'views'] %}

    grant select on {{ scope }} {{ kind }} in schema {{ marts }} to role {{ roles.reporter }};
    {%- endfor %}
    {%- endfor %}
{%- endmacro %}

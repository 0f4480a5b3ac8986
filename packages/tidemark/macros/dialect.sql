{#- Where DuckDB and Snowflake differ: each difference once, with its reason. The only dispatch in the project. -#}

{#- A zoned timestamp as a UTC timestamp without zone; explicit, because a plain cast uses the session's zone. -#}
{%- macro to_utc(column) -%}
    {{ return(adapter.dispatch('to_utc', 'tidemark')(column)) }}
{%- endmacro %}
{%- macro duckdb__to_utc(column) -%}
    {#- ten times as fast as `at time zone 'UTC'`, which goes through the calendar of every zone -#}
    {{ return('make_timestamp(epoch_us(' ~ column ~ '))') }}
{%- endmacro %}
{%- macro snowflake__to_utc(column) -%}
    {{ return("cast(convert_timezone('UTC', " ~ column ~ ") as timestamp_ntz)") }}
{%- endmacro %}

{#- Milliseconds since 1970, fractions cut off, of a time with or without zone, which `datediff` would compare in the
    session's zone. DuckDB's own `epoch_ms` rounds; Snowflake does not say what it does. -#}
{%- macro epoch_millisecond(column) -%}
    {{ return(adapter.dispatch('epoch_millisecond', 'tidemark')(column)) }}
{%- endmacro %}
{%- macro duckdb__epoch_millisecond(column) -%}
    {{ return('(epoch_us(' ~ column ~ ') // 1000)') }}
{%- endmacro %}
{%- macro snowflake__epoch_millisecond(column) -%}
    {{ return(tidemark.whole_quotient('date_part(epoch_microsecond, ' ~ column ~ ')', 1000)) }}
{%- endmacro %}

{#- A date some days later; `dbt.dateadd` on a date gives a timestamp on DuckDB, which knows fewer years. -#}
{%- macro days_after(date, days) -%}
    {{ return(adapter.dispatch('days_after', 'tidemark')(date, days)) }}
{%- endmacro %}
{%- macro duckdb__days_after(date, days) -%}
    {{ return('(cast(' ~ date ~ ' as date) + cast(' ~ days ~ ' as integer))') }}
{%- endmacro %}
{%- macro snowflake__days_after(date, days) -%}
    {{ return('cast(' ~ dbt.dateadd('day', days, date) ~ ' as date)') }}
{%- endmacro %}

{#- One row per day from first to last, to be cross joined; `day_of` reads the day from it. Snowflake knows no row of an
    outer table within a subquery that flattens, so this flattens directly, and the day is worked out outside. -#}
{%- macro each_day(first, last) -%}
    {{ return(adapter.dispatch('each_day', 'tidemark')(first, last)) }}
{%- endmacro %}
{%- macro duckdb__each_day(first, last) -%}
    {{ return('lateral (select unnest(generate_series(' ~ first ~ ', ' ~ last ~ ', interval 1 day)) as value)') }}
{%- endmacro %}
{%- macro snowflake__each_day(first, last) -%}
    {{ return('lateral flatten(input => array_generate_range(0, datediff(day, ' ~ first ~ ', ' ~ last ~ ') + 1))') }}
{%- endmacro %}
{%- macro day_of(calendar, first) -%}
    {{ return(adapter.dispatch('day_of', 'tidemark')(calendar ~ '.value', first)) }}
{%- endmacro %}
{%- macro duckdb__day_of(value, first) -%}
    {{ return('cast(' ~ value ~ ' as date)') }}
{%- endmacro %}
{%- macro snowflake__day_of(value, first) -%}
    {{ return(tidemark.days_after(first, 'cast(' ~ value ~ ' as integer)')) }}
{%- endmacro %}

{#- Types and literals of times. What `timestamp` means, and how text is read as a date, an account, a user or a session
    of Snowflake may say: so the type has its variant there, and a literal its format. -#}
{%- macro timestamp_type() -%}
    {{ return(adapter.dispatch('timestamp_type', 'tidemark')()) }}
{%- endmacro %}
{%- macro duckdb__timestamp_type() -%}
    {{ return('timestamp') }}
{%- endmacro %}
{%- macro snowflake__timestamp_type() -%}
    {{ return('timestamp_ntz') }}
{%- endmacro %}

{#- A time, as text or not, with or without zone; null for none. -#}
{%- macro timestamp_literal(value) -%}
    {%- if not value -%}
        {{ return('cast(null as ' ~ tidemark.timestamp_type() ~ ')') }}
    {%- endif -%}
    {{ return(adapter.dispatch('timestamp_literal', 'tidemark')(tidemark.utc_moment(value))) }}
{%- endmacro %}
{%- macro duckdb__timestamp_literal(moment) -%}
    {{ return("cast('" ~ moment ~ "' as timestamp)") }}
{%- endmacro %}
{%- macro snowflake__timestamp_literal(moment) -%}
    {#- `strftime` writes the year 1 without its zeros -#}
    {%- set text = moment.isoformat(' ', 'microseconds') -%}
    {{ return("to_timestamp_ntz('" ~ text ~ "', 'YYYY-MM-DD HH24:MI:SS.FF6')") }}
{%- endmacro %}

{%- macro date_literal(day) -%}
    {{ return(adapter.dispatch('date_literal', 'tidemark')(tidemark.utc_moment(day).date())) }}
{%- endmacro %}
{%- macro duckdb__date_literal(day) -%}
    {{ return("cast('" ~ day ~ "' as date)") }}
{%- endmacro %}
{%- macro snowflake__date_literal(day) -%}
    {{ return("to_date('" ~ day ~ "', 'YYYY-MM-DD')") }}
{%- endmacro %}

{#- The beginning of a UTC day, as a time with zone. -#}
{%- macro zoned_midnight(day) -%}
    {{ return(adapter.dispatch('zoned_midnight', 'tidemark')(tidemark.utc_moment(day).date())) }}
{%- endmacro %}
{%- macro duckdb__zoned_midnight(day) -%}
    {{ return("cast('" ~ day ~ " 00:00:00+00:00' as timestamp with time zone)") }}
{%- endmacro %}
{%- macro snowflake__zoned_midnight(day) -%}
    {{ return("to_timestamp_tz('" ~ day ~ " 00:00:00 +00:00', 'YYYY-MM-DD HH24:MI:SS TZH:TZM')") }}
{%- endmacro %}

{#- A column as text: a date or a time in a format, in UTC. What has no type is neither. -#}
{%- macro column_text(column, data_type) -%}
    {{ return(adapter.dispatch('column_text', 'tidemark')(column, data_type)) }}
{%- endmacro %}
{%- macro duckdb__column_text(column, data_type) -%}
    {{ return('cast(' ~ column ~ ' as varchar)') }}
{%- endmacro %}
{%- macro snowflake__column_text(column, data_type) -%}
    {%- if data_type == 'date' -%}
        {{ return('to_varchar(' ~ column ~ ", 'YYYY-MM-DD')") }}
    {%- elif data_type and data_type.startswith('timestamp') -%}
        {%- set moment = column if data_type == tidemark.timestamp_type() else tidemark.to_utc(column) -%}
        {{ return('to_varchar(' ~ moment ~ ", 'YYYY-MM-DD HH24:MI:SS.FF6')") }}
    {%- endif -%}
    {{ return('cast(' ~ column ~ ' as varchar)') }}
{%- endmacro %}

{#- Of two whole numbers the quotient, cut off. Other divisions keep as many decimals as each engine likes; what
    Snowflake divides here leaves no rest. -#}
{%- macro whole_quotient(numerator, denominator) -%}
    {{ return(adapter.dispatch('whole_quotient', 'tidemark')(numerator, denominator)) }}
{%- endmacro %}
{%- macro duckdb__whole_quotient(numerator, denominator) -%}
    {{ return('cast(' ~ numerator ~ ' // ' ~ denominator ~ ' as decimal(38, 0))') }}
{%- endmacro %}
{%- macro snowflake__whole_quotient(numerator, denominator) -%}
    {{ return('((' ~ numerator ~ ' - ' ~ numerator ~ ' % ' ~ denominator ~ ') / ' ~ denominator ~ ')') }}
{%- endmacro %}

{#- A number of so many decimals without its point, with room for 38 digits. -#}
{%- macro as_whole(number, scale) -%}
    {{ return(adapter.dispatch('as_whole', 'tidemark')(number, scale)) }}
{%- endmacro %}
{%- macro duckdb__as_whole(number, scale) -%}
    {{ return('cast((' ~ number ~ ') * ' ~ 10 ** scale ~ ' as hugeint)') }}
{%- endmacro %}
{%- macro snowflake__as_whole(number, scale) -%}
    {#- a decimal that is 0, because numbers without any are of 64 bits to the emulator -#}
    {{ return('(cast(' ~ number ~ ' as decimal(38, ' ~ [scale, 1] | max ~ ')) * ' ~ 10 ** scale ~ ')') }}
{%- endmacro %}

{#- A ratio, rounded once, half away from zero, in whole numbers, and so alike on both engines; null where there is
    nothing to divide by. `scale` says how many decimals numerator and denominator have. -#}
{%- macro ratio(numerator, denominator, decimals, scale=0) -%}
    {%- set part, whole = tidemark.as_whole(numerator, scale), tidemark.as_whole(denominator, scale) -%}
    {%- set half = 'case when ' ~ part ~ ' < 0 then -1 else 1 end * abs(' ~ whole ~ ')' -%}
    {%- set doubled = '(' ~ 2 * 10 ** decimals ~ ' * ' ~ part ~ ' + ' ~ half ~ ')' -%}
    {%- set quotient = tidemark.whole_quotient(doubled, '(2 * nullif(' ~ whole ~ ', 0))') -%}
    {{ return('cast(' ~ quotient ~ ' * 0.' ~ '0' * (decimals - 1) ~ '1 as decimal(38, ' ~ decimals ~ '))') }}
{%- endmacro %}

{#- Of the rows in an order the last value that is there: DuckDB's `max_by` skips nulls, Snowflake's does not. -#}
{%- macro last_known(value, order) -%}
    {{ return('max_by(' ~ value ~ ', case when ' ~ value ~ ' is not null then ' ~ order ~ ' end)') }}
{%- endmacro %}

{#- A row of `relation_alias` as JSON text. Snowflake is told its columns, names and types: it would write their names
    in upper case, and times as the session's format has them. -#}
{%- macro row_as_json(relation_alias, columns) -%}
    {{ return(adapter.dispatch('row_as_json', 'tidemark')(relation_alias, columns)) }}
{%- endmacro %}
{%- macro duckdb__row_as_json(relation_alias, columns) -%}
    {{ return('cast(to_json(' ~ relation_alias ~ ') as varchar)') }}
{%- endmacro %}
{%- macro snowflake__row_as_json(relation_alias, columns) -%}
    {%- set values = {} -%}
    {%- for name, data_type in columns.items() -%}
        {%- set column = relation_alias ~ '.' ~ name -%}
        {%- set is_time = data_type == 'date' or (data_type or '').startswith('timestamp') -%}
        {%- do values.update({name: tidemark.column_text(column, data_type) if is_time else column}) -%}
    {%- endfor -%}
    {{ return('to_json(' ~ tidemark.json_object(values) ~ ')') }}
{%- endmacro %}

{#- A number that tells rows apart, to be summed with a sign: DuckDB's hash has no sign of its own, Snowflake's has. -#}
{%- macro row_hash(columns) -%}
    {{ return(adapter.dispatch('row_hash', 'tidemark')(columns | join(', '))) }}
{%- endmacro %}
{%- macro duckdb__row_hash(columns) -%}
    {{ return('cast(hash(' ~ columns ~ ') as hugeint)') }}
{%- endmacro %}
{%- macro snowflake__row_hash(columns) -%}
    {{ return('hash(' ~ columns ~ ')') }}
{%- endmacro %}

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

{#- Text as a literal, whole: it may be a key. Only what is not there is null; a backslash escapes on Snowflake. -#}
{%- macro text_literal(value) -%}
    {%- if value is undefined or value is none -%}
        {{ return('cast(null as varchar)') }}
    {%- endif -%}
    {{ return(adapter.dispatch('text_literal', 'tidemark')((value | string).replace("'", "''"))) }}
{%- endmacro %}
{%- macro duckdb__text_literal(escaped) -%}
    {{ return("'" ~ escaped ~ "'") }}
{%- endmacro %}
{%- macro snowflake__text_literal(escaped) -%}
    {{ return("'" ~ escaped.replace('\\', '\\\\') ~ "'") }}
{%- endmacro %}

{%- macro text_literals(values) -%}
    {%- set literals = [] -%}
    {%- for value in values -%}
        {%- do literals.append(tidemark.text_literal(value)) -%}
    {%- endfor -%}
    {{ return(literals | join(', ')) }}
{%- endmacro %}

{#- A message as a literal: its start is enough in a table, dbt's log has the whole. Never for a key. -#}
{%- macro message_literal(value) -%}
    {{ return(tidemark.text_literal((value | string)[:2000] if value else none)) }}
{%- endmacro %}

{#- Text that is empty or only white space, as Unicode has it (its property White_Space). What begins with a visible
    ASCII character is neither, and a column's statistics mostly say so at once: the pattern alone takes 0.6 s for
    5 million rows, and 0.003 s behind this comparison. -#}
{%- macro is_blank(column) -%}
    {%- set is_unusual = '(' ~ column ~ " < '!' or " ~ column ~ " > '~')" -%}
    {{ return('(' ~ is_unusual ~ ' and ' ~ adapter.dispatch('is_blank', 'tidemark')(column) ~ ')') }}
{%- endmacro %}
{%- macro duckdb__is_blank(column) -%}
    {{ return('regexp_full_match(' ~ column ~ ", '[\\pZ\\t-\\r\\x{85}]*')") }}
{%- endmacro %}
{%- macro snowflake__is_blank(column) -%}
    {#- its patterns do not say what they know of Unicode; `trim` takes the very characters -#}
    {%- set wide = range(8192, 8203) | list + [8232, 8233, 8239, 8287, 12288] -%}
    {%- set spaces = [9, 10, 11, 12, 13, 32, 133, 160, 5760] + wide -%}
    {{ return('trim(cast(' ~ column ~ ' as varchar), chr(' ~ spaces | join(') || chr(') ~ ")) = ''") }}
{%- endmacro %}

{#- JSON in text: DuckDB raises where text does not parse, Snowflake has functions that give null. No object may have a
    key twice, at any depth: DuckDB would read the first of the values, Snowflake parses no such text, or with a
    parameter reads the last. -#}
{%- macro is_json(column) -%}
    {{ return(adapter.dispatch('is_json', 'tidemark')(column)) }}
{%- endmacro %}
{%- macro duckdb__is_json(column) -%}
    {#- a variant keeps a key once, and has fewer values than the text; ten times as slow, so only for objects in
        objects -#}
    {%- set keys, once = 'json_keys(' ~ column ~ ')', 'cast(cast(' ~ column ~ ' as json) as variant)' -%}
    {{ return(
        'case when ' ~ column ~ ' is null then true when not json_valid(' ~ column ~ ') then false'
        ~ ' when strpos(substr(' ~ column ~ ", 2), '{') = 0 then len(" ~ keys ~ ') = list_unique(' ~ keys ~ ')'
        ~ ' else coalesce(len(json_extract(' ~ column ~ ", '$..*'))"
        ~ ' = len(try(json_extract(cast(' ~ once ~ " as json), '$..*'))), true) end"
    ) }}
{%- endmacro %}
{%- macro snowflake__is_json(column) -%}
    {#- the JSON value null is a value here, and not a null -#}
    {{ return('(' ~ column ~ ' is null or try_parse_json(' ~ column ~ ') is not null)') }}
{%- endmacro %}

{%- macro json_text(column, key) -%}
    {{ return(adapter.dispatch('json_text', 'tidemark')(column, key)) }}
{%- endmacro %}
{%- macro duckdb__json_text(column, key) -%}
    {%- set parsed = 'case when json_valid(' ~ column ~ ') then ' ~ column ~ ' end' -%}
    {{ return('json_extract_string(' ~ parsed ~ ", '$.\"" ~ key ~ "\"')") }}
{%- endmacro %}
{%- macro snowflake__json_text(column, key) -%}
    {#- the JSON value null becomes null only as text -#}
    {{ return('cast(try_parse_json(' ~ column ~ '):"' ~ key ~ '" as varchar)') }}
{%- endmacro %}

{#- JSON values, in the order given or of the keys; each engine has its own type for them, and its own functions. -#}
{%- macro json_object(values) -%}
    {%- set pairs = [] -%}
    {%- for key, value in values.items() -%}
        {%- do pairs.append("'" ~ key ~ "', " ~ value) -%}
    {%- endfor -%}
    {{ return(adapter.dispatch('json_object', 'tidemark')(pairs | join(', '))) }}
{%- endmacro %}
{%- macro duckdb__json_object(pairs) -%}
    {{ return('json_object(' ~ pairs ~ ')') }}
{%- endmacro %}
{%- macro snowflake__json_object(pairs) -%}
    {{ return('object_construct_keep_null(' ~ pairs ~ ')') }}
{%- endmacro %}

{%- macro json_object_of(key, value) -%}
    {{ return(adapter.dispatch('json_object_of', 'tidemark')(key, value)) }}
{%- endmacro %}
{%- macro duckdb__json_object_of(key, value) -%}
    {#- Snowflake leaves nulls out -#}
    {%- set entries = 'list({key: ' ~ key ~ ', value: ' ~ value ~ '}) filter (where ' ~ value ~ ' is not null)' -%}
    {{ return('to_json(map_from_entries(list_sort(' ~ entries ~ ')))') }}
{%- endmacro %}
{%- macro snowflake__json_object_of(key, value) -%}
    {{ return('object_agg(' ~ key ~ ', cast(' ~ value ~ ' as variant))') }}
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

{#- The rows of a query by their columns' names: Snowflake answers in upper case. -#}
{%- macro named_rows(sql) -%}
    {%- set found = run_query(sql) -%}
    {{ return(found.rename(found.column_names | map('lower') | list).rows) }}
{%- endmacro %}

{#- What time the engine says it is, in UTC: machines that run Tidemark need not agree. -#}
{%- macro engine_clock() -%}
    {{ return(adapter.dispatch('engine_clock', 'tidemark')()) }}
{%- endmacro %}
{%- macro duckdb__engine_clock() -%}
    {{ return("cast(now() at time zone 'UTC' as timestamp)") }}
{%- endmacro %}
{%- macro snowflake__engine_clock() -%}
    {{ return('sysdate()') }}
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
    {%- if execute and tidemark.last_watermark() and not tidemark.is_coverage() and (is_replaced or is_partial) -%}
        {%- do run_query(tidemark.ledger_insert([{
            'job_name': model.name,
            'job_type': 'reset',
            'status': 'pending',
            'as_of': tidemark.as_of_value(),
            'error_message': 'It is being rebuilt whole.',
        }])) -%}
    {%- endif -%}
{%- endmacro %}

{#- dbt's own, for an increment of a model whose code has not changed. dbt asks Snowflake for the types of the query and
    of the contract, two statements per model and run; the table that the rows go into is made with the contract's
    types, and on_schema_change compares that with what is stored. -#}
{%- macro snowflake__get_assert_columns_equivalent(sql) -%}
    {%- set known_code = tidemark.ledger_state().jobs.get(model.name, {}).get('code_checksum') -%}
    {%- if not is_incremental() or known_code != model.checksum.checksum -%}
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
    {{ return(of_adapter(temporary, relation, query, language, **kwargs)) }}
{%- endmacro %}

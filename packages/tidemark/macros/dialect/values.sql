{#- Where DuckDB and Snowflake differ: numbers, texts and JSON. Each difference once, with its reason. -#}

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

{#- The rows of a query by their columns' names: Snowflake answers in upper case. -#}
{%- macro named_rows(sql) -%}
    {%- set found = run_query(sql) -%}
    {{ return(found.rename(found.column_names | map('lower') | list).rows) }}
{%- endmacro %}

{#- What the engine takes for a text or a quoted name, as a pattern without groups. On Snowflake a backslash escapes.
    -#}
{%- macro literal_pattern() -%}
    {{ return(adapter.dispatch('literal_pattern', 'tidemark')()) }}
{%- endmacro %}
{%- macro duckdb__literal_pattern() -%}
    {{ return("'(?:[^']|'')*'" ~ '|"(?:[^"]|"")*"|\\$\\$[\\s\\S]*?\\$\\$') }}
{%- endmacro %}
{%- macro snowflake__literal_pattern() -%}
    {{ return("'(?:[^'\\\\]|''|\\\\[\\s\\S])*'" ~ '|"(?:[^"]|"")*"|\\$\\$[\\s\\S]*?\\$\\$') }}
{%- endmacro %}

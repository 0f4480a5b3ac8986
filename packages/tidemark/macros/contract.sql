{#- Raw tables and files whose types are not the contract's. What a type of the contract holds exactly is converted;
    what it does not hold is left alone: a row of a raw table is set aside, a file is not loaded. -#}

{#- The rows of a raw table with the types of the contract, for staging. Where all types are the contract's, these are
    its columns as they are stored, so that the engine can skip what it stores of other days. Else there is a further
    column for each of another type, `unfit_<column>`: whether its value is none of the contract's type. -#}
{%- macro contract_rows(relation) -%}
    {%- set converted = tidemark.conversions_of_table(relation) -%}
    {%- if not converted -%}
        select * from {{ relation }}
    {%- else -%}
        select
            * replace (
                {%- for name, conversion in converted.items() %}
                {{ conversion.value }} as {{ adapter.quote(name) }}{{ ',' if not loop.last }}
                {%- endfor %}
            )
            {%- for name, conversion in converted.items() %},
            {{ tidemark.is_unfit(name, conversion) }} as unfit_{{ name }}
            {%- endfor %}
        from {{ relation }}
    {%- endif -%}
{%- endmacro %}

{#- The branches of a staging view's `case` for such values, and for those that a pipe could not read; none where all
    types are the contract's. -#}
{%- macro unfit_values(relation) -%}
    {%- for name, conversion in tidemark.conversions_of_table(relation).items() %}
            when unfit_{{ name }} then '{{ name }} does not fit {{ conversion.wanted }}'
    {%- endfor %}
    {{- tidemark.when_failed_values() }}
{%- endmacro %}

{%- macro is_unfit(name, conversion) -%}
    ({{ adapter.quote(name) }} is not null and not coalesce({{ conversion.fits }}, false))
{%- endmacro %}

{#- Of a raw table that is there, its columns of other types; asked once per command. In a unit test the rows are a
    fixture's. -#}
{%- macro conversions_of_table(relation) -%}
    {%- if not execute or model.resource_type == 'unit_test' -%}
        {{ return({}) }}
    {%- endif -%}
    {%- set known = graph.setdefault('tidemark_conversions' ~ invocation_id, {}) -%}
    {#- with --empty the relation is a query of it -#}
    {%- set key = (relation.database, relation.schema, relation.identifier) | join('.') -%}
    {%- for source in tidemark.raw_sources() if key not in known -%}
        {%- if (source.database, source.schema, source.identifier) | join('.') == key -%}
            {%- set types = {} -%}
            {%- for column in tidemark.stored_columns(tidemark.relation_of(source)) -%}
                {%- do types.update({column.name | lower: column.dtype}) -%}
            {%- endfor -%}
            {%- do known.update({key: tidemark.conversions_of(source, types)}) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(known.get(key, {})) }}
{%- endmacro %}

{%- macro conversions_of(source, types) -%}
    {%- set found = {} -%}
    {%- for column in source.columns.values() if column.name in types -%}
        {%- set actual, wanted = types[column.name] | upper, column.data_type | upper -%}
        {%- if actual | replace(' ', '') != wanted | replace(' ', '') -%}
            {%- set conversion = tidemark.exact_conversion(adapter.quote(column.name), actual, wanted) -%}
            {%- do found.update({column.name: dict(conversion, actual=actual, wanted=column.data_type)}) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{#- on-run-start: what differs is told by name before anything is built. -#}
{%- macro tell_types_of_raw_tables() -%}
    {%- for source in tidemark.raw_sources() if execute -%}
        {%- set converted, words = tidemark.conversions_of_table(tidemark.relation_of(source)), [] -%}
        {%- for name, conversion in converted.items() -%}
            {%- do words.append(name ~ ' is ' ~ conversion.actual ~ ', not ' ~ conversion.wanted) -%}
        {%- endfor -%}
        {%- set load_time = converted.get(source.loaded_at_field, {}) -%}
        {%- set kinds_of_time = ['time', 'time with zone', 'date'] -%}
        {%- set is_lost = load_time and tidemark.kind_of_type(load_time.actual) not in kinds_of_time -%}
        {%- if words -%}
            {%- do exceptions.warn(
                source.schema ~ '.' ~ source.identifier ~ ' has other types than its contract: ' ~ words | join(', ')
                ~ '. What fits is converted; rows with other values are in ops.quarantined_rows.'
                ~ (' Without load times nothing above it can be built: make ' ~ source.loaded_at_field
                ~ ' a timestamp.' if is_lost else '')
            ) -%}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{#- Text, number, time, time with zone, date, boolean, nothing or other. Binary floats are numbers that name no one: of
    7.0 nobody knows whether the id was 7. -#}
{%- macro kind_of_type(type) -%}
    {%- set name = type.split('(')[0].strip().strip('"') -%}
    {%- set numbers = ['TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'DECIMAL'] -%}
    {%- set kinds = {'VARCHAR': 'text', 'ENUM': 'text', 'UUID': 'text', 'JSON': 'text', 'DATE': 'date',
        'BOOLEAN': 'boolean', 'NULL': 'nothing', 'FLOAT': 'float', 'DOUBLE': 'float'} -%}
    {%- if type.endswith(']') -%}
        {{ return('other') }}
    {%- elif name.startswith('TIMESTAMP') -%}
        {{ return('time with zone' if 'ZONE' in name else 'time') }}
    {%- endif -%}
    {{ return('number' if name in numbers or name[1:] in numbers else kinds.get(name, 'other')) }}
{%- endmacro %}

{#- A value of one type as one of another, and whether it is exactly that. Never by a cast alone, which makes 3 of 2.7,
    1 of true, a date of a time, and forgets zones. In DuckDB's words, the only engine whose types are compared. -#}
{%- macro exact_conversion(column, actual, wanted) -%}
    {%- set from, to = tidemark.kind_of_type(actual), tidemark.kind_of_type(wanted) -%}
    {%- set value = 'try_cast(' ~ column ~ ' as ' ~ wanted ~ ')' -%}
    {%- set returns = 'try_cast(' ~ value ~ ' as ' ~ actual ~ ') = ' ~ column -%}
    {%- set is_time = to in ('time', 'time with zone', 'date') -%}
    {%- if from == 'nothing' or (to == 'text' and from not in ('float', 'other')) -%}
        {{ return({'value': value, 'fits': 'true'}) }}
    {%- elif to == 'number' and from == 'text' -%}
        {#- of text, the digits that the type keeps -#}
        {%- set scale = (wanted.split(',')[1] | replace(')', '')) | int if ',' in wanted else 0 -%}
        {%- set digits = "'-?[0-9]+" ~ ('([.][0-9]{1,' ~ scale ~ '}0*)?' if scale else '') ~ "'" -%}
        {%- set is_digits = 'regexp_full_match(' ~ column ~ ', ' ~ digits ~ ')' -%}
        {{ return({'value': value, 'fits': value ~ ' is not null and ' ~ is_digits}) }}
    {%- elif to == 'number' and from in ('number', 'float') -%}
        {{ return({'value': value, 'fits': returns}) }}
    {%- elif to == 'boolean' and from == 'text' -%}
        {{ return({'value': value, 'fits': 'lower(' ~ column ~ ") in ('true', 'false')"}) }}
    {%- elif is_time and from in ('text', 'time', 'time with zone', 'date') -%}
        {{ return(tidemark.exact_time(column, actual, wanted)) }}
    {%- endif -%}
    {{ return({'value': 'cast(null as ' ~ wanted ~ ')', 'fits': 'false'}) }}
{%- endmacro %}

{#- Times by way of UTC, whatever the session's zone is; text without a zone is in UTC. -#}
{%- macro exact_time(column, actual, wanted) -%}
    {%- set from, to = tidemark.kind_of_type(actual), tidemark.kind_of_type(wanted) -%}
    {%- set zoned, utc = column, 'try_cast(' ~ column ~ ' as timestamp)' -%}
    {%- set fits = 'try_cast(' ~ utc ~ ' as ' ~ actual ~ ') = ' ~ column -%}
    {%- if from in ('text', 'time with zone') -%}
        {%- if from == 'text' -%}
            {%- set text = 'cast(' ~ column ~ ' as varchar)' -%}
            {%- set zoned = 'coalesce(try_cast(' ~ text ~ " || '+00' as timestamptz), try_cast(" ~ text
                ~ " || ' 00:00:00+00' as timestamptz), try_cast(" ~ text ~ ' as timestamptz))' -%}
        {%- endif -%}
        {#- an infinite time has no microseconds -#}
        {%- set infinite = 'try_cast(cast(' ~ zoned ~ ' as varchar) as timestamp)' -%}
        {%- set utc = 'coalesce(' ~ tidemark.to_utc(zoned) ~ ', ' ~ infinite ~ ')' -%}
        {%- set fits = utc ~ ' is not null' -%}
        {%- if from == 'text' -%}
            {%- set fits = fits ~ ' and not regexp_matches(' ~ text ~ ", '[.][0-9]{6}[0-9]*[1-9]')" -%}
        {%- endif -%}
    {%- endif -%}
    {%- if to == 'date' -%}
        {#- a day that no time can be is a day nevertheless -#}
        {%- set day = 'try_cast(' ~ column ~ ' as date)' if from == 'text' else 'try_cast(' ~ utc ~ ' as date)' -%}
        {%- set fits = '(' ~ fits ~ ' and try_cast(' ~ day ~ ' as timestamp) = ' ~ utc ~ ')' -%}
        {%- if from == 'text' -%}
            {%- set is_day = 'regexp_full_match(' ~ text ~ ", '[0-9]+-[0-9]{2}-[0-9]{2}( [(]BC[)])?')" -%}
            {%- set fits = day ~ ' is not null and (' ~ is_day ~ ' or ' ~ fits ~ ')' -%}
        {%- endif -%}
        {{ return({'value': day, 'fits': fits}) }}
    {%- endif -%}
    {{ return({'value': "timezone('UTC', " ~ utc ~ ')' if to == 'time with zone' else utc, 'fits': fits}) }}
{%- endmacro %}

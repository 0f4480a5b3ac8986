{#- Raw tables and files whose names or types are not the contract's. What a type of the contract holds exactly is
    converted; what it does not hold is left alone: a row of a raw table is set aside, a file is not loaded. -#}

{#- The rows of a raw table with the names and types of the contract, for staging. Where all are the contract's, these
    are its columns as they are stored, so that the engine can skip what it stores of other days. Else there is a
    further column for each of another type, `unfit_<column>`: whether its value is none of the contract's type. -#}
{%- macro contract_rows(relation) -%}
    {%- set mapped = tidemark.raw_columns(tidemark.source_of(relation)) -%}
    {{- tidemark.rows_by_contract(relation, mapped, tidemark.conversions_of_table(relation)) -}}
{%- endmacro %}

{%- macro rows_by_contract(relation, mapped, converted) -%}
    {%- set rows -%}
        {%- if mapped -%}
            (
                select
                {%- for name, expression in mapped.items() %}
                    {{ expression }} as {{ name }}{{ ',' if not loop.last }}
                {%- endfor %}
                from {{ relation }}
            ) as mapped
        {%- else -%}
            {{ relation }}
        {%- endif -%}
    {%- endset -%}
    {%- if not converted -%}
        select * from {{ rows }}
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
        from {{ rows }}
    {%- endif -%}
{%- endmacro %}

{#- The source that a relation is; none while files are read, and in a unit test, whose rows are a fixture's. -#}
{%- macro source_of(relation) -%}
    {%- if execute and model.resource_type != 'unit_test' -%}
        {#- with --empty the relation is a query of it -#}
        {%- set key = (relation.database, relation.schema, relation.identifier) -%}
        {%- for source in tidemark.raw_sources() if (source.database, source.schema, source.identifier) == key -%}
            {{ return(source) }}
        {%- endfor -%}
    {%- endif -%}
    {{ return(none) }}
{%- endmacro %}

{#- What stands for each column of the contract in a raw table that has other names: SQL, from the config of the view
    that reads it, meta: {raw_columns: {company_id: account_id}}. Nothing where no view says so. -#}
{%- macro raw_columns(source) -%}
    {%- set key, names = 'tidemark_raw_columns' ~ invocation_id, {} -%}
    {%- set known = graph.setdefault(key, {}) if source else {} -%}
    {%- if source and source.unique_id not in known -%}
        {%- for node in graph.nodes.values() if source.unique_id in node.depends_on.nodes -%}
            {%- do names.update((node.config.meta or {}).get('raw_columns') or {}) -%}
        {%- endfor -%}
        {%- set mapped = {} -%}
        {%- for column in source.columns.values() if names -%}
            {%- do mapped.update({column.name: names.get(column.name, column.name) | string}) -%}
        {%- endfor -%}
        {%- do known.update({source.unique_id: mapped}) -%}
    {%- endif -%}
    {{ return(known[source.unique_id] if source else {}) }}
{%- endmacro %}

{#- The name of the raw column that an expression is, if it is no more than that. -#}
{%- macro named_column(expression) -%}
    {%- set text = expression | trim -%}
    {%- if modules.re.fullmatch('"[^"]+"', text) -%}
        {{ return(text[1:-1] | lower) }}
    {%- endif -%}
    {%- set is_name = modules.re.fullmatch('[A-Za-z_][A-Za-z0-9_$]*', text) -%}
    {{ return(text | lower if is_name and text | lower not in ('null', 'true', 'false') else none) }}
{%- endmacro %}

{#- A column of the contract as an expression on a row of the raw table. One that is there under its own name stays as
    it is stored, which the engine can skip by, unless nothing could be compared with it. -#}
{%- macro raw_expression(source, name) -%}
    {%- set mapped = tidemark.raw_columns(source).get(name) -%}
    {%- set conversion = tidemark.conversions_of_table(tidemark.relation_of(source)).get(name) -%}
    {%- if mapped is none and not (conversion and tidemark.kind_of_type(conversion.actual) == 'text') -%}
        {{ return(name) }}
    {%- endif -%}
    {%- set column = name if mapped is none else mapped -%}
    {%- set column = column if tidemark.named_column(column) else '(' ~ column ~ ')' -%}
    {{ return(
        tidemark.exact_conversion(column, conversion.actual, conversion.wanted | upper).value if conversion else column
    ) }}
{%- endmacro %}

{%- macro load_time(source) -%}
    {{ return(tidemark.raw_expression(source, source.loaded_at_field)) }}
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

{#- Of a raw table that is there, its columns of other types. -#}
{%- macro conversions_of_table(relation) -%}
    {%- if tidemark.is_at_fixed_clock() -%}
        {{ return({}) }}
    {%- endif -%}
    {%- set source = tidemark.source_of(relation) -%}
    {%- set known = graph.setdefault('tidemark_conversions' ~ invocation_id, {}) if source else {} -%}
    {%- if source and source.unique_id not in known -%}
        {%- set types = tidemark.types_by_contract(tidemark.stored_types(source), tidemark.raw_columns(source)) -%}
        {%- do known.update({source.unique_id: tidemark.conversions_of(source, types)}) -%}
    {%- endif -%}
    {{ return(known[source.unique_id] if source else {}) }}
{%- endmacro %}

{#- Types by column of a raw table that is there; asked once per command. -#}
{%- macro stored_types(source) -%}
    {%- set known, types = graph.setdefault('tidemark_stored_types' ~ invocation_id, {}), {} -%}
    {%- if source.unique_id not in known -%}
        {%- for column in tidemark.stored_columns(tidemark.relation_of(source)) -%}
            {%- do types.update({column.name | lower: column.dtype}) -%}
        {%- endfor -%}
        {%- do known.update({source.unique_id: types}) -%}
    {%- endif -%}
    {{ return(known[source.unique_id]) }}
{%- endmacro %}

{#- Of what an expression makes nobody knows the type before it is asked. -#}
{%- macro types_by_contract(stored, mapped) -%}
    {%- set types = {} -%}
    {%- for name, expression in mapped.items() if stored -%}
        {%- do types.update({name: stored.get(tidemark.named_column(expression), 'EXPRESSION')}) -%}
    {%- endfor -%}
    {{ return(types if mapped else stored) }}
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
        {%- for name, conversion in converted.items() if conversion.actual != 'EXPRESSION' -%}
            {%- do words.append(name ~ ' is ' ~ conversion.actual ~ ', not ' ~ conversion.wanted) -%}
        {%- endfor -%}
        {%- set name = source.schema ~ '.' ~ source.identifier -%}
        {%- if tidemark.misfit_of(source) -%}
            {%- do exceptions.warn(name ~ ' does not fit its contract: ' ~ tidemark.misfit_of(source) ~ '.') -%}
        {%- elif words -%}
            {%- do exceptions.warn(
                name ~ ' has other types than its contract: ' ~ words | join(', ')
                ~ '. What fits is converted; rows with other values are in ops.quarantined_rows.'
            ) -%}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{#- Why nothing can be built on a raw table, whose columns or load times are none of the contract's; no words where
    something can. -#}
{%- macro misfit_of(source) -%}
    {%- set stored, missing, reasons = tidemark.stored_types(source), [], [] -%}
    {%- set mapped = tidemark.raw_columns(source) -%}
    {%- for column in source.columns.values() if stored and column.data_type -%}
        {%- set name = tidemark.named_column(mapped.get(column.name, column.name)) -%}
        {%- if name is not none and name not in stored -%}
            {%- do missing.append(name) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if missing -%}
        {%- do reasons.append('it has no ' ~ missing | join(', ')) -%}
    {%- endif -%}
    {%- set load_time = tidemark.types_by_contract(stored, mapped).get(source.loaded_at_field, 'EXPRESSION') -%}
    {%- set kinds = ['time', 'time with zone', 'date', 'text'] -%}
    {%- if load_time != 'EXPRESSION' and tidemark.kind_of_type(load_time | upper) not in kinds -%}
        {%- do reasons.append('its load time ' ~ source.loaded_at_field ~ ' is ' ~ load_time ~ ', no timestamp') -%}
    {%- endif -%}
    {%- set advice = '; `tidemark check --contract ' ~ source.name ~ '` says what to write where' -%}
    {{ return(reasons | join(', and ') ~ advice if reasons else '') }}
{%- endmacro %}

{#- Text, number, time, time with zone, date, boolean, nothing or other. Binary floats are numbers that name no one: of
    7.0 nobody knows whether the id was 7. -#}
{%- macro kind_of_type(type) -%}
    {%- set name = type.split('(')[0].strip().strip('"') -%}
    {%- set numbers = ['TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'DECIMAL'] -%}
    {%- set kinds = {'VARCHAR': 'text', 'TEXT': 'text', 'ENUM': 'text', 'UUID': 'text', 'JSON': 'text', 'DATE': 'date',
        'BOOLEAN': 'boolean', 'NULL': 'nothing', 'FLOAT': 'float', 'DOUBLE': 'float', 'NUMBER': 'number'} -%}
    {%- if type.endswith(']') -%}
        {{ return('other') }}
    {%- elif name.startswith('TIMESTAMP') -%}
        {{ return('time with zone' if 'ZONE' in name or name.endswith('TZ') else 'time') }}
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
    {%- if actual == 'EXPRESSION' -%}
        {#- times of a zone are those of the session's, which is UTC -#}
        {%- set utc = "timezone('UTC', try_cast(" ~ column ~ ' as timestamp))' -%}
        {%- set value = utc if to == 'time with zone' else value -%}
        {{ return({'value': value, 'fits': value ~ ' is not null'}) }}
    {%- elif from == 'nothing' or (to == 'text' and from not in ('float', 'other')) -%}
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

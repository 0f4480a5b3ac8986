{#- What `tidemark check --contract` asks of the warehouse: the catalog, and a sample. It judges nothing here. -#}

{#- run-operation: of raw tables, what the contract says of them and what the catalog does; where one is missing, which
    others there are. -#}
{%- macro contract_catalog(tables=none) -%}
    {%- set sources = tidemark.raw_sources() -%}
    {%- do tidemark.names_argument('tables', tables, sources | map(attribute='name')) -%}
    {%- set told, others = [], [] -%}
    {%- for source in sources if tables is none or source.name in tables -%}
        {%- do told.append(tidemark.catalog_of(source)) -%}
    {%- endfor -%}
    {%- set known = sources | map(attribute='identifier') | map('lower') | list -%}
    {%- set schema = tidemark.raw_schema() -%}
    {%- set missing = told | rejectattr('exists') | list -%}
    {%- for row in (dbt.list_relations_without_caching(schema).rows if missing else []) -%}
        {%- if row['name'] | lower not in known -%}
            {%- set relation = api.Relation.create(schema.database, schema.schema, row['name']) -%}
            {%- do others.append({'name': row['name'], 'columns': tidemark.catalog_columns(relation)}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do log('tidemark:contract_catalog ' ~ tojson({
        'as_of': tidemark.as_of_value().isoformat(),
        'tables': told,
        'others': others,
        'domains': tidemark.setting('domains') or [],
    })) -%}
{%- endmacro %}

{%- macro catalog_of(source) -%}
    {%- set relation, columns, view = tidemark.relation_of(source), [], {} -%}
    {%- for node in graph.nodes.values() if source.unique_id in node.depends_on.nodes -%}
        {%- if node.resource_type == 'model' and node.config.materialized in ('view', 'ephemeral') -%}
            {%- do view.update({'name': node.name, 'file': node.original_file_path}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for column in source.columns.values() if column.data_type -%}
        {%- do columns.append({
            'name': column.name,
            'type': column.data_type,
            'kind': tidemark.kind_of_type(column.data_type | upper),
            'is_required': column.config.meta.required | default(false),
            'otherwise': column.config.meta.otherwise | default(''),
        }) -%}
    {%- endfor -%}
    {%- set exists = load_relation(relation) is not none -%}
    {{ return({
        'source': source.name,
        'relation': relation | replace('"', ''),
        'exists': exists,
        'domain': (source.config.meta or {}).get('domain') or '',
        'likely_names': (source.config.meta or {}).get('likely_names') or {},
        'load_time': source.loaded_at_field,
        'view': view.get('file', ''),
        'identity': (tidemark.setting('versions').get(view.name) or {}).get('identity') or [],
        'columns': columns,
        'stored': tidemark.catalog_columns(relation) if exists else [],
        'mapped': tidemark.raw_columns(source),
    }) }}
{%- endmacro %}

{%- macro catalog_columns(relation) -%}
    {%- set columns = [] -%}
    {%- for column in adapter.get_columns_in_relation(relation) -%}
        {%- set kind = tidemark.kind_of_type(column.dtype | upper) -%}
        {%- do columns.append({'name': column.name, 'type': column.dtype, 'kind': kind}) -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}

{#- run-operation: figures on the first rows of raw tables, each with the expressions that are to stand for its columns.
    Of values only times and numbers are told: a log is no place for more. -#}
{%- macro contract_samples(samples, rows=10000) -%}
    {%- do tidemark.rows_argument('samples', samples, ['source', 'columns', 'keys', 'event_time', 'maybe_epochs']) -%}
    {%- do tidemark.number_argument('rows', rows, 1, 1000000) -%}
    {%- set told, known = {}, tidemark.raw_sources() | map(attribute='name') | list -%}
    {%- do tidemark.names_argument('source', samples | map(attribute='source') | list, known) -%}
    {%- for sample in samples -%}
        {%- set source = tidemark.raw_sources() | selectattr('name', 'equalto', sample.source) | first -%}
        {%- do told.update({source.name: tidemark.sample_of(source, sample, rows)}) -%}
    {%- endfor -%}
    {%- do log('tidemark:contract_samples ' ~ tojson(told)) -%}
{%- endmacro %}

{%- macro sample_of(source, sample, rows) -%}
    {%- set types = tidemark.types_by_contract(tidemark.stored_types(source), sample.columns) -%}
    {%- set converted = tidemark.conversions_of(source, types) -%}
    {%- set wanted = tidemark.sample_figures(source, sample, converted) -%}
    {%- set sql -%}
        with given as (

            select * from {{ tidemark.relation_of(source) }}
            limit {{ rows }}

        ),

        by_contract as (

            {{ tidemark.rows_by_contract('given', sample.columns, converted) }}

        )

        select {{ wanted.values() | join(', ') }}
        from by_contract
    {%- endset -%}
    {%- set row, told = run_query(sql).rows[0], {'sql': {}} -%}
    {%- for key in wanted -%}
        {%- do told.update({key: row[loop.index0] | float if row[loop.index0] is not none else none}) -%}
    {%- endfor -%}
    {%- for name in sample.maybe_epochs -%}
        {%- set units = {} -%}
        {%- for unit, per_second in tidemark.units_of_epochs().items() -%}
            {%- do units.update({unit: tidemark.time_of_epoch(sample.columns[name], per_second)}) -%}
        {%- endfor -%}
        {%- do told.sql.update({name: units}) -%}
    {%- endfor -%}
    {%- if sample.event_time -%}
        {%- set local = tidemark.local_time_to_utc(sample.columns[sample.event_time], 'YOUR/ZONE') -%}
        {%- do told.sql.setdefault(sample.event_time, {}).update({'local': local}) -%}
    {%- endif -%}
    {{ return(told) }}
{%- endmacro %}

{%- macro units_of_epochs() -%}
    {{ return({'seconds': 1, 'milliseconds': 1000, 'microseconds': 1000000, 'nanoseconds': 1000000000}) }}
{%- endmacro %}

{#- By its name, an aggregate of the sample each. -#}
{%- macro sample_figures(source, sample, converted) -%}
    {%- set loaded_at = source.loaded_at_field -%}
    {%- set load_second = tidemark.unix_second(tidemark.within_calendar(loaded_at, 'timestamp')) -%}
    {%- set wanted = {
        'rows': 'count(*)',
        'first_load': 'min(' ~ load_second ~ ')',
        'last_load': 'max(' ~ load_second ~ ')',
        'future': 'sum(case when ' ~ loaded_at ~ ' > ' ~ tidemark.as_of() ~ ' then 1 else 0 end)',
    } -%}
    {%- for name in sample.columns -%}
        {%- do wanted.update({'nulls ' ~ name: 'count(*) - count(' ~ name ~ ')'}) -%}
        {%- if name in converted -%}
            {%- do wanted.update({'unfit ' ~ name: 'sum(case when unfit_' ~ name ~ ' then 1 else 0 end)'}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for name in sample.maybe_epochs -%}
        {#- by way of text: a number is tried like digits, on both engines -#}
        {%- set number = 'try_cast(cast(' ~ sample.columns[name] ~ ' as varchar) as double)' -%}
        {%- for aggregate in ('min', 'max') -%}
            {%- set figure = '(select ' ~ aggregate ~ '(' ~ number ~ ') from given)' -%}
            {%- do wanted.update({aggregate ~ ' ' ~ name: figure}) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if sample.event_time -%}
        {%- set event_second = tidemark.unix_second(sample.event_time) -%}
        {%- set lag = load_second ~ ' - ' ~ event_second -%}
        {%- do wanted.update({
            'least_lag': 'min(' ~ lag ~ ')',
            'ahead': 'sum(case when ' ~ lag ~ ' < -300 then 1 else 0 end)',
        }) -%}
    {%- endif -%}
    {%- if sample['keys'] -%}
        {%- set keys = sample['keys'] | join(', ') -%}
        {%- do wanted.update({
            'twice': '(select count(*) from (select ' ~ keys ~ ' from by_contract group by ' ~ keys
                ~ ' having count(*) > 1) as repeated)'
        }) -%}
    {%- endif -%}
    {{ return(wanted) }}
{%- endmacro %}

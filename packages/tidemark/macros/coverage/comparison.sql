{#- Coverage: what is stored against what should be, partition by partition. -#}

{#- In place of delete and insert: the outcome of every partition in the window replaces what was known of it. What is
    in order and older than the default window is forgotten, or there would be a row for every day that ever was. -#}
{%- macro coverage_dml(args) -%}
    {%- set state, coverage = tidemark.run_state(), tidemark.ops_table('partition_coverage') -%}
    {%- set checked = tidemark.in_temporary_table('checked', tidemark.compared_partitions(args)) -%}
    {%- set states = {} -%}
    {%- for row in run_query('select state, count(*) from ' ~ checked ~ ' group by state').rows -%}
        {%- do states.update({row[0]: row[1] | int}) -%}
    {%- endfor -%}
    {%- do log('tidemark:coverage ' ~ tojson({
        'model': model.name,
        'window': state.window | map('string') | list,
        'as_of': state.known.isoformat(),
        'states': states,
    })) -%}
    {%- set kept_from = tidemark.days_ago(tidemark.setting('coverage_days')) -%}
    {%- set deletion -%}
        delete from {{ coverage }}
        where
            model_name = '{{ model.name }}'
            and (
                day is null
                or {{ tidemark.within('day', [state.window]) }}
                or (state = 'ok' and day < {{ tidemark.date_literal(kept_from) }})
            )
            and {{ tidemark.is_asked_entity('entity') }}
    {%- endset -%}
    {%- set insertion -%}
        insert into {{ coverage }}
        select
            '{{ model.name }}',
            {{ tidemark.text_literal(tidemark.domain_of(model)) }},
            '{{ config.get("incremental_strategy") }}',
            {{ tidemark.text_literal(tidemark.built_on(model) | join(', ')) }},
            checked.entity,
            checked.day,
            checked.state,
            checked.expected_rows,
            checked.stored_rows,
            checked.differing_rows,
            checked.differing_columns,
            checked.is_current,
            {{ tidemark.is_rebuildable('checked.day') }},
            {{ tidemark.timestamp_literal(state.known) }},
            checked.found_at,
            {{ tidemark.timestamp_literal(tidemark.wall_clock()) }},
            {{ tidemark.text_literal(tidemark.run_id()) }},
            checked.compared_from
        from {{ checked }} as checked
    {%- endset -%}
    {{ return(tidemark.in_one_transaction([deletion, insertion])) }}
{%- endmacro %}

{#- Rows are compared as multisets, on every column that the mart derives: no key to declare, duplicates count. Sums of
    hashes say which partitions have to be looked at, and only those are compared row by row. -#}
{%- macro compared_partitions(args) -%}
    {%- set columns = [] -%}
    {%- for column in args.dest_columns if column.name | lower != 'record_loaded_at' -%}
        {%- do columns.append(column.quoted) -%}
    {%- endfor -%}
    {%- set is_whole = config.get('incremental_strategy') == 'full' -%}
    {%- set calendar = tidemark.covered_calendar() if var('coverage').get('calendar') and not is_whole else none -%}
    with sides as (
        {{ tidemark.rows_of_both_sides(args, columns, is_whole) }}
    ),

    partitions as (
        select
            sides.covered_entity,
            sides.covered_day,
            sum(sides.expected_rows) as expected_rows,
            sum(sides.stored_rows) as stored_rows,
            sum((sides.expected_rows - sides.stored_rows) * {{ tidemark.row_hash(columns) }}) as balance
        from sides
        group by sides.covered_entity, sides.covered_day
    ),

    differing_rows as (
        {{ tidemark.rows_on_one_side(columns) }}
    ),

    differences as (
        {{ tidemark.differences_by_partition(columns) }}
    ),

    {%- if calendar %}

    calendar as (
        {{ calendar }}
    ),
    {%- endif %}

    judged as (
        {{ tidemark.judged_partitions(calendar) }}
    )

    {{ tidemark.judged_with_what_was_known() }}
{%- endmacro %}

{#- Query: the rows that should be there, as a restatement has worked them out, and those that are stored. -#}
{%- macro rows_of_both_sides(args, columns, is_whole) -%}
    {%- set state, entity = tidemark.run_state(), tidemark.covered_entity() -%}
    {%- set day = 'cast(null as date)' if is_whole else 'cast(' ~ state.day ~ ' as date)' -%}
    {%- set entity_text = tidemark.column_text(entity, model.get('columns', {}).get(entity, {}).get('data_type')) -%}
    {%- for relation in [args.temp_relation, args.target_relation] %}
    select
        {{ entity_text }} as covered_entity,
        {{ day }} as covered_day,
        {{ columns | join(', ') }},
        {{ 0 if loop.last else 1 }} as expected_rows,
        {{ 1 if loop.last else 0 }} as stored_rows
    from {{ relation }}
    where
        {{ 'true' if is_whole else tidemark.within(state.day, [state.window]) }}
        and {{ tidemark.is_asked_entity(entity) }}
    {{- ' union all' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{#- Query: of the partitions that differ the rows that one side has more often than the other, and how much more. -#}
{%- macro rows_on_one_side(columns) -%}
    select
        sides.covered_entity,
        sides.covered_day,
        {% for column in columns %}sides.{{ column }}, {% endfor %}
        sum(sides.expected_rows - sides.stored_rows) as balance
    from sides
    inner join partitions
        on
            sides.covered_entity = partitions.covered_entity
            and sides.covered_day is not distinct from partitions.covered_day
    where partitions.balance <> 0 or partitions.expected_rows <> partitions.stored_rows
    group by sides.covered_entity, sides.covered_day{% for column in columns %}, sides.{{ column }}{% endfor %}
    having sum(sides.expected_rows - sides.stored_rows) <> 0
{%- endmacro %}

{#- Query: by partition how many of these rows are on either side, and in which columns they differ. -#}
{%- macro differences_by_partition(columns) -%}
    select
        covered_entity,
        covered_day,
        sum(case when balance > 0 then balance else 0 end) as absent_rows,
        sum(case when balance < 0 then -balance else 0 end) as surplus_rows,
        ''
        {%- for column in columns %}
        || case
            when sum(balance * {{ tidemark.row_hash([column]) }}) <> 0 then ', {{ column | replace('"', '') }}'
            else ''
        end
        {%- endfor %} as differing_columns
    from differing_rows
    group by covered_entity, covered_day
{%- endmacro %}

{#- Query: the state of each partition, also of those that only a calendar expects. -#}
{%- macro judged_partitions(calendar) -%}
    select
        {%- if calendar %}
        coalesce(partitions.covered_entity, calendar.entity) as entity,
        coalesce(partitions.covered_day, calendar.day) as day,
        {%- else %}
        partitions.covered_entity as entity,
        partitions.covered_day as day,
        {%- endif %}
        case
            when differences.absent_rows is null and partitions.stored_rows is not null then 'ok'
            when coalesce(partitions.stored_rows, 0) = 0 then 'missing'
            when partitions.expected_rows = 0 then 'orphaned'
            else 'different'
        end as state,
        coalesce(partitions.expected_rows, 0) as expected_rows,
        coalesce(partitions.stored_rows, 0) as stored_rows,
        coalesce(case
            when differences.absent_rows > differences.surplus_rows then differences.absent_rows
            else differences.surplus_rows
        end, 0) as differing_rows,
        -- of a row that is simply not there every column differs
        case
            when differences.absent_rows = differences.surplus_rows then substr(differences.differing_columns, 3)
        end as differing_columns
    from partitions
    left join differences
        on
            partitions.covered_entity = differences.covered_entity
            and partitions.covered_day is not distinct from differences.covered_day
    {%- if calendar %}
    full outer join calendar
        on partitions.covered_entity = calendar.entity and partitions.covered_day = calendar.day
    {%- endif %}
{%- endmacro %}

{#- Query: the judged partitions, since when each is damaged, and from which day on this command has compared. -#}
{%- macro judged_with_what_was_known() -%}
    {%- set state = tidemark.run_state() -%}
    {%- set first_day = tidemark.date_literal(state.window[0]) -%}
    select
        judged.entity,
        judged.day,
        judged.state,
        cast(judged.expected_rows as bigint) as expected_rows,
        cast(judged.stored_rows as bigint) as stored_rows,
        cast(judged.differing_rows as bigint) as differing_rows,
        judged.differing_columns,
        coalesce(judged.day >= {{ tidemark.date_literal(state.known) }}, false) as is_current,
        case
            when judged.state <> 'ok'
                then coalesce(known.found_at, {{ tidemark.timestamp_literal(tidemark.wall_clock()) }})
        end as found_at,
        {#- a command that has looked from an earlier day on knows what it then wrote there itself #}
        case
            when known.run_id = {{ tidemark.text_literal(tidemark.run_id()) }} and known.compared_from < {{ first_day }}
                then known.compared_from
            else {{ first_day }}
        end as compared_from
    from judged
    left join {{ tidemark.ops_table('partition_coverage') }} as known
        on
            known.model_name = '{{ model.name }}'
            and judged.entity = known.entity
            and judged.day is not distinct from known.day
{%- endmacro %}

{#- The rows of a table that is rebuilt whole belong to the first column of its unique key, and to no day. -#}
{%- macro covered_entity() -%}
    {%- if config.get('incremental_strategy') != 'full' -%}
        {{ return(tidemark.run_state().entity) }}
    {%- endif -%}
    {%- set key = config.get('unique_key') -%}
    {{ return(key if key is string else key[0]) }}
{%- endmacro %}

{#- For those who want it: every entity has rows on every ended day of the window. Where a setting names the enabled
    entities of the domain these, else all that the table knows. -#}
{%- macro covered_calendar() -%}
    {%- set state = tidemark.run_state() -%}
    {%- set enabled = tidemark.setting('enabled_entities').get(tidemark.domain_of(model)) -%}
    {%- set last_day = tidemark.day_plus([state.window[1], state.known.date()] | min, -1) -%}
    {%- set first, last = tidemark.date_literal(state.window[0]), tidemark.date_literal(last_day) %}
    select
        entities.entity,
        {{ tidemark.day_of('calendar', first) }} as day
    from (
        {%- if enabled %}
        select cast({{ enabled.entity }} as varchar) as entity
        from {{ tidemark.relation_of(tidemark.model_named(enabled.model)) }}
        where {{ enabled.condition }}
        {%- else %}
        select distinct cast({{ state.entity }} as varchar) as entity
        from {{ this }}
        {%- endif %}
    ) as entities
    cross join {{ tidemark.each_day(first, last) }} as calendar
    where {{ tidemark.is_asked_entity('entities.entity') }}
{%- endmacro %}

{#- Whether the raw rows of a day are still there; what retention has taken cannot be told from damage. -#}
{%- macro is_rebuildable(day) -%}
    {{ return(tidemark.not_earlier_than(day, tidemark.retention_floor(model))) }}
{%- endmacro %}

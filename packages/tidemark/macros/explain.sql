{#- What a run would touch, and why: `dbt compile --vars '{explain: {}}'` finds the touched keys as a run does, into the
    same temporary tables, and reports them. With start and end it explains a restatement. No table is written. -#}

{%- macro is_explained() -%}
    {{ return(execute and flags.WHICH == 'compile' and var('explain', none) is not none) }}
{%- endmacro %}

{#- One line per model: partitions (of a table of sessions, sessions; of a replayed one, entities), the stored rows that
    they hold, those of the whole table, and how many partitions are touched why. -#}
{%- macro explain_touched() -%}
    {%- set state, why, counts = tidemark.run_state(), {}, {} -%}
    {%- for row in run_query(tidemark.reasons_of_touched()).rows -%}
        {%- do why.update({row[0]: row[1] | int}) -%}
    {%- endfor -%}
    {%- set rows = tidemark.count_of('(' ~ tidemark.stored_rows_touched() ~ ')') -%}
    {%- set table_rows = tidemark.count_of('(select count(*) from ' ~ this ~ ')') -%}
    {%- do log('tidemark:touched ' ~ tojson({
        'model': model.name,
        'mode': state.mode,
        'partitions': why.values() | sum,
        'rows': rows,
        'table_rows': table_rows,
        'why': why,
        'follows': tidemark.session_tables(model),
        'tests': tidemark.planned_tests(model),
    })) -%}
{%- endmacro %}

{#- The stored rows that a run would replace, found as its delete finds them. -#}
{%- macro stored_rows_touched() -%}
    {%- set state = tidemark.run_state() -%}
    select count(*)
    from {{ this }} as stored
    inner join {{ state.touched }} as touched
        on stored.{{ state.entity }} = touched.{{ state.entity }} and {{ tidemark.is_replaced() }}
{%- endmacro %}

{#- One reason per touched partition, the first that applies: somebody asked for it, rows came (an event of a day before
    the watermark's came late; a new version of a known event is a redelivery), or it was only read again because of the
    overlap. Where none applies, it is what the model compares besides. -#}
{%- macro reasons_of_touched() -%}
    {%- set state, span = tidemark.run_state(), tidemark.span_of_touched() -%}
    {%- set otherwise = 'restatement' if state.window else span.otherwise -%}
    with touched as (
        select
            {{ state.entity }} as entity,
            {{ span.first_day }} as first_day,
            {{ span.last_day }} as last_day,
            row_number() over (order by {{ state.entity }}) as touched_key
        from {{ state.touched }}
    ),

    causes as (
        {{ tidemark.causes_of_touched() }}
    ),

    explained as (
        select
            touched.touched_key,
            coalesce(causes.why, '{{ otherwise }}') as why
        from touched
        left join causes
            on
                touched.entity = causes.entity
                and causes.day >= touched.first_day
                and causes.day <= touched.last_day
        qualify
            row_number() over (
                partition by touched.touched_key
                order by case causes.why
                    when 'gap' then 1
                    when 'request' then 2
                    when 'late rows' then 3
                    when 'new rows' then 4
                    when 'redelivery' then 5
                    else 6
                end
            ) = 1
    )

    select
        why,
        count(*) as partitions
    from explained
    group by why
    order by why
{%- endmacro %}

{#- The days on which a cause touches a key of this model, and the reason of a key without a cause. -#}
{%- macro span_of_touched() -%}
    {%- set strategy = config.get('incremental_strategy') -%}
    {%- set lookback_days = tidemark.run_state().get('lookback_days', 0) -%}
    {%- if strategy == 'replay' -%}
        {{ return({
            'first_day': 'replay_from', 'last_day': 'replay_from', 'otherwise': 'calendar or attribute change',
        }) }}
    {%- elif strategy == 'sessions' -%}
        {{ return({'first_day': 'first_day', 'last_day': 'last_day', 'otherwise': 'other versions'}) }}
    {%- endif -%}
    {{ return({
        'first_day': tidemark.days_after('touched_day', -lookback_days),
        'last_day': 'touched_day',
        'otherwise': 'changed sessions' if tidemark.session_tables(model) else 'other versions',
    }) }}
{%- endmacro %}

{#- Query: entity, day and reason of what was asked for and of what was loaded. -#}
{%- macro causes_of_touched() -%}
    {%- set state = tidemark.run_state() -%}
    {%- if state.requests %}
    select
        entity,
        day,
        case when reason = 'coverage' then 'gap' else 'request' end as why
    from (
        select
            cast(entity as {{ tidemark.stored_type(state.entity) }}) as entity,
            day,
            reason
        from {{ tidemark.ops_table('requested_partitions') }}
        where {{ tidemark.is_requested() }}
    ) as requests
    union all
    {%- endif %}
    {%- for relation in tidemark.dated_versions_read() %}
    {{ tidemark.causes_of_loaded(relation) }}
    union all
    {%- endfor %}
    select
        {{ state.entity }} as entity,
        cast(null as date) as day,
        cast(null as varchar) as why
    from {{ this }}
    where false
{%- endmacro %}

{#- The staging views that a model reads by its entity and a day: what is loaded there touches it. -#}
{%- macro dated_versions_read() -%}
    {%- set names = [] -%}
    {%- for id in model.depends_on.nodes if tidemark.run_state().mode == 'incremental' and id in graph.nodes -%}
        {%- set name = graph.nodes[id].name -%}
        {%- set identity = tidemark.setting('versions').get(name, {}).get('identity', []) -%}
        {%- if tidemark.run_state().entity in identity and identity | length > 1 -%}
            {%- do names.append(name) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set relations = [] -%}
    {%- for node in graph.nodes.values() if node.name in names -%}
        {%- do relations.append(tidemark.relation_of(node)) -%}
    {%- endfor -%}
    {{ return(relations) }}
{%- endmacro %}

{#- The last column of such an identity is the day. -#}
{%- macro causes_of_loaded(relation) -%}
    {%- set identity, watermark = tidemark.version_of(relation).identity, tidemark.last_watermark() -%}
    {%- set day, key = identity[-1], identity | join(', ') -%}
    {%- set new_rows = relation ~ ' where ' ~ tidemark.newly_loaded() -%}
    {%- set loaded_at, seen_until = tidemark.staged('loaded_at'), tidemark.timestamp_literal(watermark) %}
    select distinct
        {{ tidemark.run_state().entity }} as entity,
        {{ day }} as day,
        case
            when {{ loaded_at }} <= {{ seen_until }} then 'read again'
            when seen.is_seen then 'redelivery'
            when {{ day }} < {{ tidemark.date_literal(watermark) }} then 'late rows'
            else 'new rows'
        end as why
    from {{ relation }}
    left join (
        select distinct
            {{ key }},
            true as is_seen
        from {{ relation }}
        where
            {{ tidemark.valid_and_visible() }}
            and {{ loaded_at }} <= {{ seen_until }}
            and {{ tidemark.within(tidemark.staged('occurred_at'), tidemark.ranges_of(day, new_rows)) }}
    ) as seen using ({{ key }})
    where {{ tidemark.newly_loaded() }}
{%- endmacro %}

{#- Whether a run that has ended wrote so much of its table that making it anew had cost less. Few rows are never most
    of a table worth a word: for them it is not counted. What is built on a table of sessions is left to that one: it
    is rebuilt whole with it. -#}
{%- macro is_refresh_cheaper() -%}
    {%- set state = tidemark.run_state() -%}
    {%- set rows, limits = state.get('rows') or 0, tidemark.setting('refresh_above') -%}
    {%- if state.mode not in ('incremental', 'restate') or not rows > limits.share * limits.rows -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set table_rows = tidemark.count_of('(select count(*) from ' ~ this ~ ')') -%}
    {{ return(
        table_rows >= limits.rows
        and rows > limits.share * table_rows
        and not tidemark.session_tables(model)
    ) }}
{%- endmacro %}

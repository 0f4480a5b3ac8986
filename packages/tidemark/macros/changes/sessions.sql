{#- Models of sessions, and what is built on them. -#}

{#- An event may leave its session with a newer version. So a session is touched by every version of what was newly
    loaded, and read with every version of its events: the one that took an event away names another session. -#}
{%- macro touched_sessions(relation, entity, session, first, last) -%}
    {%- set state = tidemark.run_state() -%}
    {%- if state.mode == 'full' -%}
        {%- do state.update({'entity': entity, 'day': first}) -%}
        {{ return(tidemark.valid_and_visible()) }}
    {%- endif -%}
    {%- set sql = tidemark.touched_session_keys(relation, entity, session, first, last) -%}
    {%- do state.update({'session': session}) -%}
    {%- do tidemark.keep_touched(sql, entity, first) -%}
    {%- set lies_in_ranges = tidemark.within(tidemark.staged('occurred_at'), tidemark.reached_ranges()) -%}
    {%- if state.mode == 'coverage' -%}
        {#- nearly all that these days have: a list of it took a fifth more time, and of 50 million events all 8 GB -#}
        {{ return([tidemark.valid_and_visible(), lies_in_ranges, tidemark.is_asked_entity(entity)] | join(' and ')) }}
    {%- endif -%}
    {%- set identity = tidemark.version_of(relation).identity | join(', ') -%}
    {%- set versions -%}
        select {{ identity }}
        from {{ relation }}
        where
            {{ tidemark.valid_and_visible() }}
            and {{ lies_in_ranges }}
            and {{ tidemark.is_touched_session(entity, session) }}
    {%- endset -%}
    {{ tidemark.valid_and_visible() }}
    and {{ lies_in_ranges }}
    and ({{ identity }}) in (select {{ identity }} from {{ tidemark.in_temporary_table('versions', versions) }})
{%- endmacro %}

{#- What is stored says from where to where a session reaches, unless it is the stored that someone doubts; coverage
    cannot afford to doubt it: damage shows on the days that it looks at, or when it looks at others. -#}
{%- macro reached_ranges() -%}
    {%- set state = tidemark.run_state() -%}
    {%- set trusts_stored = state.mode == 'coverage' or not (state.window or state.requests) -%}
    {{ return(
        tidemark.merged_ranges(state.reached_spans) if state.touched_days is defined and trusts_stored else none
    ) }}
{%- endmacro %}

{#- Query: the touched sessions, the day that each is stored on, and from which day to which it reaches. -#}
{%- macro touched_session_keys(relation, entity, session, first, last) -%}
    {%- set activity_date = tidemark.staged('activity_date') -%}
    with named as (
        {{ tidemark.sessions_named_by_events(relation, entity, session) }}
    )

    select
        {{ entity }},
        {{ session }},
        max(stored_day) as touched_day,
        min(first_day) as first_day,
        max(last_day) as last_day
    from (
        select
            {{ entity }},
            {{ session }},
            cast(null as date) as stored_day,
            {{ activity_date }} as first_day,
            {{ activity_date }} as last_day
        from named
        union all
        {{ tidemark.stored_sessions_touched(entity, session, first, last) }}
    ) as touched_rows
    group by {{ entity }}, {{ session }}
{%- endmacro %}

{#- Query: the sessions that some events name, with the events' days: of those newly loaded every version, or all of a
    window, and all of a day that was asked for. -#}
{%- macro sessions_named_by_events(relation, entity, session) -%}
    {%- set state, activity_date = tidemark.run_state(), tidemark.staged('activity_date') -%}
    {%- set identity = tidemark.version_of(relation).identity | join(', ') -%}
    {%- if not state.window -%}
        {#- a window needs no look for other versions: those of one identity lie on one day -#}
        {%- set new_rows = 'select ' ~ identity ~ ' from ' ~ relation ~ ' where ' ~ tidemark.newly_loaded() -%}
        {%- set loaded = tidemark.in_temporary_table('loaded', new_rows) -%}
    {%- endif -%}
    {#- of both: conditions follow -#}
    {%- set events -%}
        select
            {{ entity }},
            {{ session }},
            {{ activity_date }}
        from {{ relation }}
        where
            {{ tidemark.valid_and_visible() }}
            and {{ session }} is not null
    {%- endset -%}
    {{ events }}
        {%- if state.window %}
        and {{ tidemark.within(tidemark.staged('occurred_at'), [state.window]) }}
        {%- if state.mode == 'coverage' and tidemark.retention_floor(model) %}
        and {{ tidemark.began_later(entity, session, tidemark.retention_floor(model)) }}
        {%- endif %}
        {%- else %}
        {%- set days_loaded = tidemark.ranges_of(activity_date, loaded) %}
        and {{ tidemark.within(tidemark.staged('occurred_at'), days_loaded) }}
        and ({{ identity }}) in (select {{ identity }} from {{ loaded }})
        {%- endif %}
    {%- if state.requests %}
    union all
    {{ events }}
        and {{ tidemark.within(tidemark.staged('occurred_at'), tidemark.merged_ranges(state.requests.days)) }}
        and ({{ entity }}, {{ activity_date }}) in (
            {{ tidemark.requests_of(entity) }}
        )
    {%- endif %}
{%- endmacro %}

{#- Query: of the stored sessions those that events name, that lie in the window, or on a day that was asked for. Each
    is a query of its own: beside an `or` Snowflake has no subquery. -#}
{%- macro stored_sessions_touched(entity, session, first, last) -%}
    {%- set state, queries = tidemark.run_state(), [] -%}
    {%- set stored -%}
        select
            stored.{{ entity }},
            stored.{{ session }},
            cast(stored.{{ first }} as date) as stored_day,
            cast(stored.{{ first }} as date) as first_day,
            cast(stored.{{ last }} as date) as last_day
        from {{ this }} as stored
    {%- endset -%}
    {%- if state.window -%}
        {#- also those that only reach into the window: it may have taken events from them -#}
        {%- do queries.append(
            stored ~ ' where ' ~ tidemark.earlier_than(first, state.window[1])
            ~ ' and ' ~ tidemark.not_earlier_than(last, state.window[0])
        ) -%}
    {%- endif -%}
    {#- coverage is to find those that have events in the window and are not stored there -#}
    {%- if state.mode != 'coverage' -%}
        {%- do queries.append(
            stored ~ ' where (' ~ entity ~ ', ' ~ session ~ ') in (select ' ~ entity ~ ', ' ~ session ~ ' from named)'
        ) -%}
    {%- endif -%}
    {%- if state.requests -%}
        {%- do queries.append(
            stored ~ ' inner join (' ~ tidemark.requests_of(entity) ~ ') as requests on stored.' ~ entity
            ~ ' = requests.' ~ entity ~ ' and cast(stored.' ~ first ~ ' as date) <= requests.day and cast(stored.'
            ~ last ~ ' as date) >= requests.day'
        ) -%}
    {%- endif -%}
    {{ return(queries | join(' union all ')) }}
{%- endmacro %}

{%- macro is_touched_session(entity, session) -%}
    {%- set state = tidemark.run_state() -%}
    {%- if state.mode == 'full' -%}
        {%- set floor = tidemark.retention_floor(model) -%}
        {{ return(session ~ ' is not null' ~ (
            ' and ' ~ tidemark.began_later(entity, session, floor) if floor and load_relation(this) else ''
        )) }}
    {%- endif -%}
    ({{ entity }}, {{ session }}) in (select {{ entity }}, {{ session }} from {{ state.touched }})
{%- endmacro %}

{#- A session that began below the floor stays as it is stored, whatever of it lies above. -#}
{%- macro began_later(entity, session, floor) -%}
    ({{ entity }}, {{ session }}) not in (
        select {{ entity }}, {{ session }} from {{ this }}
        where {{ tidemark.earlier_than(tidemark.day_column(model), floor) }}
    )
{%- endmacro %}

{#- For what is built on a table of sessions. A restatement reads what has changed since the last run, too, but does not
    count as having read it: only part of the table was rewritten. -#}
{%- macro changed_partitions(relation, entity, day) -%}
    {%- set state = tidemark.run_state() -%}
    {%- if state.mode == 'full' -%}
        {%- do state.update({'entity': entity, 'day': day}) -%}
        {{ return('true') }}
    {%- endif -%}
    {%- set sql -%}
        select distinct
            {{ entity }},
            touched_day
        from (
            select
                cast(entity as {{ tidemark.stored_type(entity) }}) as {{ entity }},
                day as touched_day
            from {{ tidemark.ops_table('changed_keys') }}
            where
                {%- if state.mode == 'coverage' %}
                false
                {%- else %}
                {{ tidemark.unread_changes(model.name, [relation.identifier]) }}
                {%- endif %}
            {{- tidemark.requested_keys(entity) }}
            {%- for table in [relation, this] if state.window %}
            union all
            select
                {{ entity }},
                cast({{ day }} as date) as touched_day
            from {{ table }}
            where {{ tidemark.within(day, [state.window]) }}
            {%- endfor %}
        ) as touched
    {%- endset -%}
    {%- do tidemark.keep_touched(sql, entity, day) -%}
    {%- set ranges = tidemark.merged_ranges(state.touched_days) if state.touched_days is defined else none -%}
    {{ tidemark.within(day, ranges) }}
    and ({{ entity }}, cast({{ day }} as date)) in (select {{ entity }}, touched_day from {{ state.touched }})
{%- endmacro %}

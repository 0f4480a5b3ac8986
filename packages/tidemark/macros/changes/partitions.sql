{#- Change detection: what a run recomputes. A model says which raw rows it reads, through one of these:

      touched_partitions(relation, entity, day)   every row of the partitions that newly loaded rows touch
      call replay_from(entity, day)               the query that says from which day each entity is replayed
      replayed_rows(entity)                       every row of the replayed entities, from their first touched day
      touched_sessions(relation, entity, ...)     every row of the sessions that newly loaded rows touch
      changed_partitions(relation, entity, day)   every row of the partitions that changed in a table of sessions
      latest_version(relation)                    of each identity, the version that counts

    On a full refresh everything is touched: the same SQL, from the beginning of time. -#}

{%- macro touched_partitions(relation, entity, day, lookback_days=0) -%}
    {%- set state = tidemark.run_state() -%}
    {%- if execute and model.resource_type == 'model' and tidemark.lookback_of(model) != lookback_days -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ' looks ' ~ lookback_days ~ ' days back and does not say so in its YAML: '
            ~ 'config: {meta: {lookback_days: ' ~ lookback_days ~ '}}.'
        ) }}
    {%- endif -%}
    {%- if state.mode == 'full' -%}
        {%- do state.update({'entity': entity, 'day': day}) -%}
        {{ return(tidemark.valid_and_visible()) }}
    {%- endif -%}
    {%- set sql = tidemark.touched_partition_keys(relation, entity, day, lookback_days) -%}
    {%- do state.update({'lookback_days': lookback_days}) -%}
    {%- do tidemark.keep_touched(sql, entity, day) -%}
    {%- set ranges = tidemark.merged_ranges(state.touched_days, lookback_days) if 'touched_days' in state else none -%}
    {{ tidemark.valid_and_visible() }}
    and {{ tidemark.within(tidemark.staged('occurred_at'), ranges) }}
    and ({{ entity }}, cast({{ day }} as date)) in (
        select
            {{ entity }},
            {{ tidemark.days_after('touched_day', '-days_later') if lookback_days else 'touched_day' }} as read_day
        from {{ state.touched }}
        {%- if lookback_days %}
        cross join {{ tidemark.numbers_to(lookback_days) }}
        {%- endif %}
    )
{%- endmacro %}

{#- Query: entity and touched day of what was loaded or asked for; of a window also what is stored in it. -#}
{%- macro touched_partition_keys(relation, entity, day, lookback_days) -%}
    {%- set state = tidemark.run_state() %}
    select distinct
        {{ entity }},
        touched_day
    from (
        select
            {{ entity }},
            {{ tidemark.days_after('changed_day', 'days_later') }} as touched_day
        from (
            select distinct
                {{ entity }},
                cast({{ day }} as date) as changed_day
            from {{ relation }}
            where {{ tidemark.newly_loaded(lookback_days) }}
            {{- tidemark.requested_keys(entity, "reason <> 'coverage'") }}
        ) as changed
        cross join {{ tidemark.numbers_to(lookback_days) }}
        {{- tidemark.requested_keys(entity, "reason = 'coverage'") }}
        {%- if state.window %}
        union all
        select
            {{ entity }},
            cast({{ day }} as date) as touched_day
        from {{ this }}
        {#- what is gone from the raw rows can only be found by the days that it reached -#}
        {%- set reach = lookback_days if state.mode == 'restate' else 0 %}
        where {{ tidemark.within(day, [(state.window[0], tidemark.day_plus(state.window[1], reach))]) }}
        {%- endif %}
    ) as touched
    {%- if state.window %}
    where touched_day >= {{ tidemark.date_literal(state.window[0]) }}
    {%- if state.mode == 'coverage' %} and touched_day < {{ tidemark.date_literal(state.window[1]) }}{% endif %}
    {%- endif %}
{%- endmacro %}

{%- macro is_touched(entity, day) -%}
    {%- set state = tidemark.run_state() -%}
    {%- if state.mode == 'full' -%}
        {{ return('true') }}
    {%- endif -%}
    ({{ entity }}, {{ day }}) in (select {{ entity }}, touched_day from {{ state.touched }})
{%- endmacro %}

{#- Replay models: an entity from its first touched day on. -#}

{%- macro replay_from(entity, day) -%}
    {%- set state = tidemark.run_state() -%}
    {%- set sql -%}
        select
            {{ entity }},
            min(replay_from) as replay_from
        from (
            {{ caller() }}
            {{- tidemark.requested_keys(entity) }}
            {%- if state.window %}
            union all
            select distinct
                {{ entity }},
                {{ tidemark.date_literal(state.window[0]) }} as replay_from
            from {{ this }}
            {%- endif %}
        ) as touched_days
        group by {{ entity }}
    {%- endset -%}
    {%- if state.mode == 'full' -%}
        {%- do state.update({'entity': entity, 'day': day}) -%}
        {{ return(sql) }}
    {%- endif -%}
    {%- do tidemark.keep_touched(sql, entity, day) -%}
    select * from {{ state.touched }}
{%- endmacro %}

{%- macro moved_lifespans(lifespans, entity, day) -%}
    select
        coalesce(lifespans.{{ entity }}, stored.{{ entity }}) as {{ entity }},
        case
            when lifespans.first_day = stored.first_day
                then {{ tidemark.days_after('least(lifespans.last_day, stored.last_day)', 1) }}
            else least(
                coalesce(lifespans.first_day, stored.first_day),
                coalesce(stored.first_day, lifespans.first_day)
            )
        end as replay_from
    from {{ lifespans }} as lifespans
    full outer join (
        select
            {{ entity }},
            min({{ day }}) as first_day,
            max({{ day }}) as last_day
        from {{ this }}
        group by {{ entity }}
    ) as stored on lifespans.{{ entity }} = stored.{{ entity }}
    where
        lifespans.first_day is distinct from stored.first_day
        or lifespans.last_day is distinct from stored.last_day
{%- endmacro %}

{%- macro replayed_rows(entity, lookback_days=0) -%}
    {%- set state = tidemark.run_state() -%}
    {{ tidemark.valid_and_visible() }}
    {%- if state.mode != 'full' %}
    and {{ entity }} in (select {{ entity }} from {{ state.touched }})
    {%- endif %}
    {%- if state.touched_days %}
    {%- set first_read = tidemark.first_of(state.touched_days[0], lookback_days) %}
    and {{ tidemark.within(tidemark.staged('occurred_at'), [(first_read, none)]) }}
    {%- elif state.touched_days is defined %}
    and false
    {%- endif %}
{%- endmacro %}

{#- The one clock. Everything is UTC, in timestamps without zone. Nothing else in the project reads a clock,
    except the ledger when it writes down when something happened. -#}

{%- macro as_of() -%}
    {{ return(timestamp_literal(as_of_value())) }}
{%- endmacro %}

{%- macro as_of_value() -%}
    {%- set given = var('as_of', none) or (var('seed_clock') if target.name == 'demo' else none) -%}
    {{ return(utc_moment(given) if given else run_started_at.replace(tzinfo=none)) }}
{%- endmacro %}

{#- run-operation: reports the clock of a command of several dbt calls, so that all of them go by one. -#}
{%- macro tell_clock() -%}
    {%- do refuse_earlier_clock() -%}
    {%- do log('tidemark:clock ' ~ tojson({'as_of': as_of_value().isoformat()})) -%}
{%- endmacro %}

{%- macro visible() -%}
    {#- what waits for the next run is no damage: coverage looks no further than the model has -#}
    {{ return('loaded_at <= ' ~ (timestamp_literal(run_state().known) if is_coverage() else as_of())) }}
{%- endmacro %}

{#- Text or a time, with or without zone, to a UTC time without zone. -#}
{%- macro utc_moment(value) -%}
    {#- Python 3.10 reads no trailing Z -#}
    {%- set moment = modules.datetime.datetime.fromisoformat((value | string).replace('Z', '+00:00')) -%}
    {%- if moment.tzinfo -%}
        {%- set moment = moment.astimezone(modules.pytz.utc) -%}
    {%- endif -%}
    {{ return(moment.replace(tzinfo=none)) }}
{%- endmacro %}

{%- macro wall_clock() -%}
    {{ return(modules.datetime.datetime.now(modules.pytz.utc).replace(tzinfo=none)) }}
{%- endmacro %}

{#- Whole seconds since 1970; fractions are cut off, so that differences are those of times truncated to the second. -#}
{%- macro unix_second(column) -%}
    {{ return(dbt.datediff(timestamp_literal('1970-01-01 00:00:00'), column, 'second')) }}
{%- endmacro %}

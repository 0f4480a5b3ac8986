{#- The one clock. Everything is UTC, in timestamps without zone. Nothing else in the project reads a clock,
    except the ledger when it writes down when something happened. -#}

{%- macro as_of() -%}
    {{ return(tidemark.timestamp_literal(tidemark.as_of_value())) }}
{%- endmacro %}

{%- macro as_of_value() -%}
    {%- if tidemark.is_in_full() -%}
        {{ return(context['tidemark_in_full'].known) }}
    {%- endif -%}
    {%- set given = var('as_of', none) -%}
    {%- if given is not none -%}
        {{ return(tidemark.moment_argument('as_of', given)) }}
    {%- endif -%}
    {%- set standing = tidemark.setting('clock_of_target').get(target.name) -%}
    {{ return(tidemark.utc_moment(standing) if standing else run_started_at.replace(tzinfo=none)) }}
{%- endmacro %}

{#- run-operation: reports the clock of a command of several dbt calls, so that all of them go by one. -#}
{%- macro tell_clock() -%}
    {%- do tidemark.refuse_earlier_clock() -%}
    {%- do log('tidemark:clock ' ~ tojson({'as_of': tidemark.as_of_value().isoformat()})) -%}
{%- endmacro %}

{%- macro visible() -%}
    {#- what waits for the next run is no damage: coverage looks no further than the model has -#}
    {%- set clock = tidemark.run_state().known if tidemark.is_coverage() else tidemark.as_of_value() -%}
    {{ return(tidemark.staged('loaded_at') ~ ' <= ' ~ tidemark.timestamp_literal(clock)) }}
{%- endmacro %}

{#- Text or a time, with or without zone, to a UTC time without zone. -#}
{%- macro utc_moment(value) -%}
    {#- Python 3.10 reads no trailing Z -#}
    {%- set moment = modules.datetime.datetime.fromisoformat((value | string).replace('Z', '+00:00')) -%}
    {%- set local = moment.replace(tzinfo=none) -%}
    {{ return(tidemark.shifted(local, -moment.utcoffset()) if moment.tzinfo else local) }}
{%- endmacro %}

{#- Arithmetic with days and times that anybody may have stored or asked for: it ends where the calendar does, with the
    years 1 and 9999, and never overflows. -#}
{%- macro shifted(moment, by) -%}
    {%- set first, last = modules.datetime.datetime.min, modules.datetime.datetime.max -%}
    {{ return(first if by < first - moment else last if by > last - moment else moment + by) }}
{%- endmacro %}

{%- macro day_plus(day, days) -%}
    {%- set date = modules.datetime.date -%}
    {{ return(date.fromordinal([[day.toordinal() + days, 1] | max, date.max.toordinal()] | min)) }}
{%- endmacro %}

{#- A day or time of the warehouse as Jinja and Python can hold it: what lies before the year 1 or after the year 9999,
    infinite or not, is the first or the last that they know. -#}
{%- macro within_calendar(expression, type='date') -%}
    {%- set literal = tidemark.date_literal if type == 'date' else tidemark.timestamp_literal -%}
    {%- set first, last = literal('0001-01-01'), literal('9999-12-31') -%}
    case
        when {{ expression }} < {{ first }} then {{ first }}
        when {{ expression }} > {{ last }} then {{ last }}
        else {{ expression }}
    end
{%- endmacro %}

{#- Predicate on a raw row: its event time is none that anybody meant. Zero times of any zone and language (0001-01-01,
    1970-01-01) fall before `tidemark.setting('earliest_event')`. -#}
{%- macro is_before_earliest_event(event_time) -%}
    {{ return(tidemark.earlier_than(event_time, tidemark.utc_moment(tidemark.setting('earliest_event')).date())) }}
{%- endmacro %}

{%- macro wall_clock() -%}
    {{ return(modules.datetime.datetime.now(modules.pytz.utc).replace(tzinfo=none)) }}
{%- endmacro %}

{#- Whole seconds since 1970; fractions are cut off, so that differences are those of times truncated to the second. -#}
{%- macro unix_second(column) -%}
    {{ return(dbt.datediff(tidemark.timestamp_literal('1970-01-01 00:00:00'), column, 'second')) }}
{%- endmacro %}

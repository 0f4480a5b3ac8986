{#- Where DuckDB and Snowflake differ: days and times. Each difference once, with its reason. -#}

{#- A zoned timestamp as a UTC timestamp without zone; explicit, because a plain cast uses the session's zone. -#}
{%- macro to_utc(column) -%}
    {{ return(adapter.dispatch('to_utc', 'tidemark')(column)) }}
{%- endmacro %}
{%- macro duckdb__to_utc(column) -%}
    {#- ten times as fast as `at time zone 'UTC'`, which goes through the calendar of every zone -#}
    {{ return('make_timestamp(epoch_us(' ~ column ~ '))') }}
{%- endmacro %}
{%- macro snowflake__to_utc(column) -%}
    {{ return("cast(convert_timezone('UTC', " ~ column ~ ") as timestamp_ntz)") }}
{%- endmacro %}

{#- Milliseconds since 1970, fractions cut off, of a time with or without zone, which `datediff` would compare in the
    session's zone. DuckDB's own `epoch_ms` rounds; Snowflake does not say what it does. -#}
{%- macro epoch_millisecond(column) -%}
    {{ return(adapter.dispatch('epoch_millisecond', 'tidemark')(column)) }}
{%- endmacro %}
{%- macro duckdb__epoch_millisecond(column) -%}
    {{ return('(epoch_us(' ~ column ~ ') // 1000)') }}
{%- endmacro %}
{%- macro snowflake__epoch_millisecond(column) -%}
    {{ return(tidemark.whole_quotient('date_part(epoch_microsecond, ' ~ column ~ ')', 1000)) }}
{%- endmacro %}

{#- A number of seconds since 1970, or of parts of them (so many to the second), as a UTC time. -#}
{%- macro time_of_epoch(number, per_second) -%}
    {{ return(adapter.dispatch('time_of_epoch', 'tidemark')(number, per_second)) }}
{%- endmacro %}
{%- macro duckdb__time_of_epoch(number, per_second) -%}
    {%- set factor = 1000000 // per_second or 1000000 / per_second -%}
    {{ return('make_timestamp(try_cast(try_cast(' ~ number ~ ' as double) * ' ~ factor ~ ' as bigint))') }}
{%- endmacro %}
{%- macro snowflake__time_of_epoch(number, per_second) -%}
    {{ return('to_timestamp_ntz(' ~ number ~ ', ' ~ (per_second | string | length - 1) ~ ')') }}
{%- endmacro %}

{#- A time without zone that a clock of some zone shows, in UTC. -#}
{%- macro local_time_to_utc(column, zone) -%}
    {{ return(adapter.dispatch('local_time_to_utc', 'tidemark')(column, zone)) }}
{%- endmacro %}
{%- macro duckdb__local_time_to_utc(column, zone) -%}
    {{ return("timezone('UTC', timezone('" ~ zone ~ "', " ~ column ~ '))') }}
{%- endmacro %}
{%- macro snowflake__local_time_to_utc(column, zone) -%}
    {{ return("convert_timezone('" ~ zone ~ "', 'UTC', " ~ column ~ ')') }}
{%- endmacro %}

{#- A date some days later; `dbt.dateadd` on a date gives a timestamp on DuckDB, which knows fewer years. -#}
{%- macro days_after(date, days) -%}
    {{ return(adapter.dispatch('days_after', 'tidemark')(date, days)) }}
{%- endmacro %}
{%- macro duckdb__days_after(date, days) -%}
    {{ return('(cast(' ~ date ~ ' as date) + cast(' ~ days ~ ' as integer))') }}
{%- endmacro %}
{%- macro snowflake__days_after(date, days) -%}
    {{ return('cast(' ~ dbt.dateadd('day', days, date) ~ ' as date)') }}
{%- endmacro %}

{#- One row per day from first to last, to be cross joined; `day_of` reads the day from it. Snowflake knows no row of an
    outer table within a subquery that flattens, so this flattens directly, and the day is worked out outside. -#}
{%- macro each_day(first, last) -%}
    {{ return(adapter.dispatch('each_day', 'tidemark')(first, last)) }}
{%- endmacro %}
{%- macro duckdb__each_day(first, last) -%}
    {{ return('lateral (select unnest(generate_series(' ~ first ~ ', ' ~ last ~ ', interval 1 day)) as value)') }}
{%- endmacro %}
{%- macro snowflake__each_day(first, last) -%}
    {{ return('lateral flatten(input => array_generate_range(0, datediff(day, ' ~ first ~ ', ' ~ last ~ ') + 1))') }}
{%- endmacro %}

{%- macro day_of(calendar, first) -%}
    {{ return(adapter.dispatch('day_of', 'tidemark')(calendar ~ '.value', first)) }}
{%- endmacro %}
{%- macro duckdb__day_of(value, first) -%}
    {{ return('cast(' ~ value ~ ' as date)') }}
{%- endmacro %}
{%- macro snowflake__day_of(value, first) -%}
    {{ return(tidemark.days_after(first, 'cast(' ~ value ~ ' as integer)')) }}
{%- endmacro %}

{#- Types and literals of times. What `timestamp` means, and how text is read as a date, an account, a user or a session
    of Snowflake may say: so the type has its variant there, and a literal its format. -#}
{%- macro timestamp_type() -%}
    {{ return(adapter.dispatch('timestamp_type', 'tidemark')()) }}
{%- endmacro %}
{%- macro duckdb__timestamp_type() -%}
    {{ return('timestamp') }}
{%- endmacro %}
{%- macro snowflake__timestamp_type() -%}
    {{ return('timestamp_ntz') }}
{%- endmacro %}

{#- A time, as text or not, with or without zone; null for none. -#}
{%- macro timestamp_literal(value) -%}
    {%- if not value -%}
        {{ return('cast(null as ' ~ tidemark.timestamp_type() ~ ')') }}
    {%- endif -%}
    {{ return(adapter.dispatch('timestamp_literal', 'tidemark')(tidemark.utc_moment(value))) }}
{%- endmacro %}
{%- macro duckdb__timestamp_literal(moment) -%}
    {{ return("cast('" ~ moment ~ "' as timestamp)") }}
{%- endmacro %}
{%- macro snowflake__timestamp_literal(moment) -%}
    {#- `strftime` writes the year 1 without its zeros -#}
    {%- set text = moment.isoformat(' ', 'microseconds') -%}
    {{ return("to_timestamp_ntz('" ~ text ~ "', 'YYYY-MM-DD HH24:MI:SS.FF6')") }}
{%- endmacro %}

{%- macro date_literal(day) -%}
    {{ return(adapter.dispatch('date_literal', 'tidemark')(tidemark.utc_moment(day).date())) }}
{%- endmacro %}
{%- macro duckdb__date_literal(day) -%}
    {{ return("cast('" ~ day ~ "' as date)") }}
{%- endmacro %}
{%- macro snowflake__date_literal(day) -%}
    {{ return("to_date('" ~ day ~ "', 'YYYY-MM-DD')") }}
{%- endmacro %}

{#- The beginning of a UTC day, as a time with zone. -#}
{%- macro zoned_midnight(day) -%}
    {{ return(adapter.dispatch('zoned_midnight', 'tidemark')(tidemark.utc_moment(day).date())) }}
{%- endmacro %}
{%- macro duckdb__zoned_midnight(day) -%}
    {{ return("cast('" ~ day ~ " 00:00:00+00:00' as timestamp with time zone)") }}
{%- endmacro %}
{%- macro snowflake__zoned_midnight(day) -%}
    {{ return("to_timestamp_tz('" ~ day ~ " 00:00:00 +00:00', 'YYYY-MM-DD HH24:MI:SS TZH:TZM')") }}
{%- endmacro %}

{#- What time the engine says it is, in UTC: machines that run Tidemark need not agree. -#}
{%- macro engine_clock() -%}
    {{ return(adapter.dispatch('engine_clock', 'tidemark')()) }}
{%- endmacro %}
{%- macro duckdb__engine_clock() -%}
    {{ return("cast(now() at time zone 'UTC' as timestamp)") }}
{%- endmacro %}
{%- macro snowflake__engine_clock() -%}
    {{ return('sysdate()') }}
{%- endmacro %}

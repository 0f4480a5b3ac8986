{#- Coverage: a dry restatement. With `--vars '{coverage: {...}}'` an incremental model works out the rows of a window
    as a restatement would, up to the clock that it is known up to, and its strategy compares them with what is stored
    instead of replacing it. So there is no second definition of any mart, and a new one joins by being incremental. -#}

{%- macro is_coverage() -%}
    {{ return(execute and flags.WHICH == 'run' and var('coverage', none) is not none) }}
{%- endmacro %}

{#- on-run-start. What cannot be asked for together with it would write. -#}
{%- macro refuse_to_cover() -%}
    {%- set asked = var('coverage', none) -%}
    {%- if asked is none or flags.WHICH not in ('run', 'build') -%}
        {{ return('') }}
    {%- endif -%}
    {%- set known = ['days', 'from_first_day', 'start', 'end', 'entity', 'calendar', 'max_days'] -%}
    {%- for name in ['start', 'end'] if asked is mapping and asked.get(name) is not none -%}
        {%- do tidemark.moment_argument(name, asked[name]) -%}
    {%- endfor -%}
    {%- set unknown = (asked.keys() | reject('in', known) | list) if asked is mapping else [asked] -%}
    {%- if flags.WHICH != 'run' -%}
        {%- set why = 'asked for with `dbt run`, not with `dbt ' ~ flags.WHICH ~ '`' -%}
    {%- elif flags.FULL_REFRESH or invocation_args_dict.get('event_time_start') -%}
        {%- set why = 'no full refresh and no restatement: leave --full-refresh and --event-time-start out' -%}
    {%- elif unknown -%}
        {%- set why = 'told, as a mapping, ' ~ known | join(', ') ~ '; not ' ~ unknown | join(', ') -%}
    {%- elif (asked.get('start') is none) != (asked.get('end') is none) -%}
        {%- set why = 'told both start and end, or neither' -%}
    {%- elif asked.get('from_first_day') and (asked.get('start') is not none or asked.get('days') is not none) -%}
        {%- set why = 'told one first day: from_first_day, start or days' -%}
    {%- elif tidemark.coverage_window()[0] >= tidemark.coverage_window()[1] -%}
        {%- set why = 'told a start before the end' -%}
    {%- endif -%}
    {%- if why -%}
        {{ exceptions.raise_compiler_error('Coverage is ' ~ why ~ '. Nothing was checked.') }}
    {%- endif -%}
{%- endmacro %}

{#- Whole days, [first, end), as for a restatement; without start and end the clock's day and the days before it. -#}
{%- macro coverage_window() -%}
    {%- set asked = var('coverage') -%}
    {%- if asked.get('start') is not none -%}
        {{ return(tidemark.whole_days(asked.start, asked.end)) }}
    {%- endif -%}
    {%- set days = tidemark.setting('coverage_days') if asked.get('days') is none else asked.days -%}
    {%- set first_day = tidemark.before_all_days() if asked.get('from_first_day') else tidemark.days_ago(days) -%}
    {{ return((first_day, tidemark.day_plus(tidemark.as_of_value().date(), 1))) }}
{%- endmacro %}

{#- How many days of a domain a plan takes: what this look was told, else the setting. -#}
{%- macro days_to_plan() -%}
    {%- set asked = (var('coverage', none) or {}).get('max_days') -%}
    {{ return(tidemark.setting('backfill').max_days if asked is none else asked) }}
{%- endmacro %}

{#- Where a look from an entity's first day on begins: no event is older, and days before it can still be told. -#}
{%- macro before_all_days() -%}
    {{ return(modules.datetime.date(1900, 1, 1)) }}
{%- endmacro %}

{#- Predicate: the entity is one of those that coverage was asked for; of all, if it was asked for none. -#}
{%- macro is_asked_entity(entity) -%}
    {%- set asked = (var('coverage', none) or {}).get('entity') -%}
    {%- set names = [asked] if asked is string or asked is number else asked -%}
    {{ return('true' if asked is none else tidemark.is_one_of(entity, names)) }}
{%- endmacro %}

{%- macro is_one_of(entity, names) -%}
    {%- set text = tidemark.column_text(entity, model.get('columns', {}).get(entity, {}).get('data_type')) -%}
    {{ return(text ~ ' in (' ~ tidemark.text_literals(names) ~ ')' if names else 'false') }}
{%- endmacro %}

{%- macro days_ago(days) -%}
    {{ return(tidemark.day_plus(tidemark.as_of_value().date(), -days)) }}
{%- endmacro %}

{#- Pre-hook of every mart. A table to compare with must be there, and nothing else may be built on the way. -#}
{%- macro refuse_uncovered() -%}
    {%- set kind = config.get('materialized') -%}
    {%- if kind == 'incremental' and not is_incremental() -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ' was never built, or its table is gone: there is nothing to compare. Nothing was touched. '
            ~ 'Build it first: dbt build --select ' ~ model.name
        ) }}
    {%- elif kind not in ('incremental', 'view') -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ' is a ' ~ kind ~ ': coverage would rebuild it. Nothing was touched. '
            ~ 'Make it incremental; strategy `full` rebuilds it in every run.'
        ) }}
    {%- endif -%}
{%- endmacro %}

{#- For tests across tables: they are known up to the same clock. One that waits for its run is compared after it. -#}
{%- macro known_alike(models) -%}
    (
        select count(distinct known_until) from {{ ref('etl_job_watermarks') }}
        where job_name in ('{{ models | join("', '") }}')
    ) = 1
{%- endmacro %}

{#- What people give: the arguments of run-operations, and the vars that say when. Each is checked before anything is
    touched, and refused in words that say what is allowed. Whatever comes back may go on into SQL as it is (a day, a
    number), or through `text_literal`. Only what is not given is absent: 0 and '' are values. -#}

{%- macro refuse_argument(name, value, allowed) -%}
    {%- set given = 'not given' if value is undefined or value is none else "'" ~ (value | string)[:100] ~ "'" -%}
    {{ exceptions.raise_compiler_error(
        name ~ ' is ' ~ given ~ '; it must be ' ~ allowed ~ '. Nothing was touched.'
    ) }}
{%- endmacro %}

{#- Text, or a number, which is taken as text. -#}
{%- macro text_argument(name, value, is_optional=false) -%}
    {%- if is_optional and value is none -%}
        {{ return(none) }}
    {%- elif value is boolean or not (value is string or value is number) -%}
        {%- do tidemark.refuse_argument(name, value, 'text' ~ (', or left out' if is_optional else '')) -%}
    {%- endif -%}
    {{ return(value | string) }}
{%- endmacro %}

{%- macro flag_argument(name, value) -%}
    {%- if value is not boolean -%}
        {%- do tidemark.refuse_argument(name, value, 'true or false') -%}
    {%- endif -%}
    {{ return(value) }}
{%- endmacro %}

{%- macro number_argument(name, value, least, most) -%}
    {%- if value is not integer or value is boolean or value < least or value > most -%}
        {%- do tidemark.refuse_argument(name, value, 'a whole number from ' ~ least ~ ' to ' ~ most) -%}
    {%- endif -%}
    {{ return(value) }}
{%- endmacro %}

{#- A list of names, each among the known ones if these are given; none where it is left out, which an empty list is
    not. -#}
{%- macro names_argument(name, value, known=none) -%}
    {%- if value is none -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set known = known | list if known is not none else none -%}
    {%- set allowed = 'a list' ~ (' of ' ~ known | sort | join(', ') if known is not none else ' of names') -%}
    {%- if value is string or value is mapping or value is not sequence -%}
        {%- do tidemark.refuse_argument(name, value, allowed) -%}
    {%- endif -%}
    {%- for each in value if each is not string or (known is not none and each not in known) -%}
        {%- do tidemark.refuse_argument(name, each, allowed) -%}
    {%- endfor -%}
    {{ return(value | list) }}
{%- endmacro %}

{#- What the command line hands over: a list of mappings that have these keys. -#}
{%- macro rows_argument(name, value, keys) -%}
    {%- set allowed = 'a list of mappings with ' ~ keys | join(', ') -%}
    {%- if value is undefined or value is string or value is mapping or value is not sequence -%}
        {%- do tidemark.refuse_argument(name, value, allowed) -%}
    {%- endif -%}
    {%- for row in value if row is not mapping or keys | reject('in', row) | list -%}
        {%- do tidemark.refuse_argument(name, row, allowed) -%}
    {%- endfor -%}
    {{ return(value) }}
{%- endmacro %}

{#- A list of paths, in JSON: a name may hold whatever would part them. -#}
{%- macro paths_argument(name, value) -%}
    {%- set paths = fromjson(tidemark.text_argument(name, value), none) -%}
    {%- if paths is string or paths is mapping or paths is not sequence -%}
        {%- do tidemark.refuse_argument(name, value, 'a list of paths in JSON') -%}
    {%- endif -%}
    {{ return(paths) }}
{%- endmacro %}

{#- A day as a date. -#}
{%- macro day_argument(name, value, is_optional=false) -%}
    {%- if is_optional and value is none -%}
        {{ return(none) }}
    {%- elif not modules.re.fullmatch('[0-9-]{10}', value | string) -%}
        {%- do tidemark.refuse_argument(name, value, 'a day such as 2025-10-15') -%}
    {%- endif -%}
    {{ return(tidemark.moment_argument(name, value, allowed='a day such as 2025-10-15').date()) }}
{%- endmacro %}

{#- A time in UTC. Whatever is no date makes Python raise, which Jinja cannot catch: so each part is looked at. -#}
{%- macro moment_argument(name, value, allowed='a time such as 2025-10-15T12:00:00Z') -%}
    {%- set two, text = '([0-9]{2})', value | string -%}
    {%- set time = two ~ ':' ~ two ~ '(?::' ~ two ~ '(?:[.](?:[0-9]{3}){1,2})?)?(?:Z|[+-]' ~ two ~ ':' ~ two ~ ')?' -%}
    {%- set found = modules.re.fullmatch('([0-9]{4})-' ~ two ~ '-' ~ two ~ '(?:[T ]' ~ time ~ ')?', text) -%}
    {%- if not found -%}
        {%- do tidemark.refuse_argument(name, value, allowed) -%}
    {%- endif -%}
    {%- set parts = found.groups('0') | map('int') | list -%}
    {%- set year, month, day = parts[0], parts[1], parts[2] -%}
    {%- set is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) -%}
    {%- set lengths = [31, 29 if is_leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] -%}
    {%- if not (
        0 < year and 1 <= month <= 12 and 1 <= day <= lengths[month - 1]
        and parts[3] < 24 and parts[4] < 60 and parts[5] < 60 and parts[6] < 24 and parts[7] < 60
    ) -%}
        {%- do tidemark.refuse_argument(name, value, allowed) -%}
    {%- endif -%}
    {{ return(tidemark.utc_moment(text)) }}
{%- endmacro %}

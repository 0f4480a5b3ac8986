{#- Which rows count: visible ones, good ones, and of each identity the latest version. -#}

{%- macro valid_and_visible() -%}
    {%- set is_kept = tidemark.not_earlier_than(tidemark.staged('occurred_at'), tidemark.first_kept_day(model)) -%}
    {%- set is_good = tidemark.staged('quarantine_reason') ~ ' is null and ' ~ tidemark.visible() -%}
    {{ return(is_good ~ (' and ' ~ is_kept if is_kept != 'true' else '')) }}
{%- endmacro %}

{%- macro newly_loaded(lookback_days=0) -%}
    {%- set state = tidemark.run_state() -%}
    {%- if state.window -%}
        {#- a restated row counts as one that was loaded now; those before the window reach into it with theirs -#}
        {%- set first = tidemark.day_plus(state.window[0], -lookback_days) -%}
        {%- set lies_in_window = tidemark.within(tidemark.staged('occurred_at'), [(first, state.window[1])]) -%}
        {{ return(tidemark.valid_and_visible() ~ ' and ' ~ lies_in_window) }}
    {%- endif -%}
    {{ tidemark.valid_and_visible() }}
    {%- if state.since %}
    and {{ tidemark.staged('loaded_at') }} >= {{ tidemark.timestamp_literal(state.since) }}
    {%- endif %}
{%- endmacro %}

{%- macro latest_version(relation) -%}
    {{ tidemark.version_rank(relation) }} = 1
{%- endmacro %}

{%- macro version_rank(relation) -%}
    {%- if not execute -%}
        {{ return('1') }}
    {%- endif -%}
    {%- set version = tidemark.version_of(relation) -%}
    row_number() over (
        partition by {{ version.identity | join(', ') }}
        order by
            {{ tidemark.staged('loaded_at') }} desc
            {%- for tie in version.ties %}, {{ tie }} desc nulls last{% endfor %}
    )
{%- endmacro %}

{%- macro version_of(relation) -%}
    {#- in a unit test the relation is a fixture, named after the model it stands for -#}
    {%- set name = relation.identifier | replace('__dbt__cte__', '') -%}
    {%- if not tidemark.setting('versions').get(name, {}).get('identity') -%}
        {{ exceptions.raise_compiler_error('dbt_project.yml, vars: versions: does not say what identifies ' ~ name) }}
    {%- endif -%}
    {{ return(tidemark.setting('versions')[name]) }}
{%- endmacro %}

{#- One run at a time. On DuckDB the lock on the file sees to that (macros/dialect.sql); elsewhere a row, ops.run_lock,
    that one conditional update takes: engines do two updates of a row one after the other. A lease, because a run
    that is killed releases nothing. -#}

{#- A run that holds it may take it again: a command has one run id over all its calls. -#}
{%- macro default__take_run_lock() -%}
    {%- set is_mine = 'holder = ' ~ text_literal(run_id()) -%}
    {%- set is_free = 'holder is null or ' ~ is_mine ~ ' or expires_at <= ' ~ engine_clock() -%}
    {%- if not lease_run_lock('taken_at = ' ~ engine_clock(), is_free) -%}
        {%- set held = run_query('select holder, expires_at from ' ~ ops_table('run_lock')).rows[0] -%}
        {{ exceptions.raise_compiler_error(
            'Another run, ' ~ held[0] ~ ', holds the run lock until ' ~ held[1] ~ ' UTC, or longer if it goes on. '
            ~ 'Nothing was touched. Try again when it has ended; if it was killed, after that time.'
        ) }}
    {%- endif -%}
    {#- another run may have ended since the ledger was read -#}
    {%- do graph.pop('tidemark_ledger' ~ invocation_id, none) -%}
{%- endmacro %}

{#- Before each mart, as soon as a third of the lease is over. -#}
{%- macro default__renew_run_lock() -%}
    {%- set leased_at = graph.get('tidemark_run_lock' ~ invocation_id) -%}
    {%- set third = modules.datetime.timedelta(minutes=var('run_lock_minutes')) / 3 -%}
    {%- if not leased_at or wall_clock() - leased_at > third -%}
        {%- if not lease_run_lock('taken_at = taken_at', 'holder = ' ~ text_literal(run_id())) -%}
            {{ exceptions.raise_compiler_error(
                'This run has lost the run lock: its lease of ' ~ var('run_lock_minutes') ~ ' minutes ran out, and '
                ~ 'another run took it. The model was not touched. Repeat the run when the other one has ended; if a '
                ~ 'model takes longer than the lease, raise the var run_lock_minutes.'
            ) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{#- At the end of a run. As an operation it takes the lock from a run that is known to be dead. -#}
{%- macro default__release_run_lock(holder=none) -%}
    {%- set free = 'holder = null, taken_at = null, expires_at = null' -%}
    {%- do update_run_lock(free, 'holder = ' ~ text_literal(run_id() if holder is none else holder)) -%}
{%- endmacro %}

{#- Whether the lease was given. -#}
{%- macro lease_run_lock(assignment, condition) -%}
    {%- set end = dbt.dateadd('minute', var('run_lock_minutes'), engine_clock()) -%}
    {%- set assignments = ['holder = ' ~ text_literal(run_id()), 'expires_at = ' ~ end, assignment] -%}
    {%- set leased_at = wall_clock() -%}
    {%- if update_run_lock(assignments | join(', '), condition) == 0 -%}
        {{ return(false) }}
    {%- endif -%}
    {%- do graph.update({'tidemark_run_lock' ~ invocation_id: leased_at}) -%}
    {{ return(true) }}
{%- endmacro %}

{#- How many rows were updated; committed, whatever becomes of the run. -#}
{%- macro update_run_lock(assignments, condition) -%}
    {%- call statement('run_lock', fetch_result=true, auto_begin=true) -%}
        update {{ ops_table('run_lock') }} set {{ assignments }} where {{ condition }}
    {%- endcall -%}
    {%- do adapter.commit() -%}
    {{ return(load_result('run_lock').data[0][0] | int) }}
{%- endmacro %}

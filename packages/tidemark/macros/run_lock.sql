{#- One run at a time. On DuckDB the lock on the file sees to that (macros/dialect/tables.sql); elsewhere a row,
    ops.run_lock. A lease, because a run that is killed releases nothing.

    Whoever changes the row has the turn, ops.run_lock_turn: a row that every change updates first, in the same
    transaction. An update waits until the transaction before it has ended. Whether it then looks again at what that one
    wrote, Snowflake's documentation does not say; of the next statement it says that it sees what was committed before
    it began (sql-reference/transactions, read committed isolation). So the lock is looked at by the second statement,
    and read back after the commit. -#}

{#- A run that holds it may take it again: a command has one run id over all its calls. -#}
{%- macro default__take_run_lock() -%}
    {%- set is_mine = 'holder = ' ~ tidemark.text_literal(tidemark.run_id()) -%}
    {%- set is_free = 'holder is null or ' ~ is_mine ~ ' or expires_at <= ' ~ tidemark.engine_clock() -%}
    {%- set held = tidemark.lease_run_lock('taken_at = ' ~ tidemark.engine_clock(), is_free) -%}
    {%- if not held -%}
        {#- the first run of all; should two of them be at it, there are two rows, and no run holds both -#}
        {%- do tidemark.write_down(tidemark.run_lock_rows()) -%}
        {%- set held = tidemark.lease_run_lock('taken_at = ' ~ tidemark.engine_clock(), is_free) -%}
    {%- endif -%}
    {%- if held[0] != tidemark.run_id() -%}
        {%- do tidemark.release_run_lock() -%}
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
    {%- set third = modules.datetime.timedelta(minutes=tidemark.setting('run_lock_minutes')) / 3 -%}
    {%- if not leased_at or tidemark.wall_clock() - leased_at > third -%}
        {%- set is_mine = 'holder = ' ~ tidemark.text_literal(tidemark.run_id()) -%}
        {%- set held = tidemark.lease_run_lock('taken_at = taken_at', is_mine) -%}
        {%- if not held or held[0] != tidemark.run_id() -%}
            {{ exceptions.raise_compiler_error(
                'This run has lost the run lock: its lease of ' ~ tidemark.setting('run_lock_minutes') ~ ' minutes ran '
                ~ 'out, and another run took it. The model was not touched. Repeat the run when the other one has '
                ~ 'ended; if a model takes longer than the lease, raise the var run_lock_minutes.'
            ) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{#- At the end of a run. As an operation it takes the lock from a run that is known to be dead. -#}
{%- macro default__release_run_lock(holder=none) -%}
    {%- set free = 'holder = null, taken_at = null, expires_at = null' -%}
    {%- set is_held = 'holder = ' ~ tidemark.text_literal(tidemark.run_id() if holder is none else holder) -%}
    {%- do tidemark.update_run_lock(free, is_held) -%}
{%- endmacro %}

{#- Who holds the lock afterwards, and until when: another run, if there is one. Nothing if there is no row. -#}
{%- macro lease_run_lock(assignment, condition) -%}
    {%- set end = dbt.dateadd('minute', tidemark.setting('run_lock_minutes'), tidemark.engine_clock()) -%}
    {%- set held_by_me = 'holder = ' ~ tidemark.text_literal(tidemark.run_id()) -%}
    {%- set assignments = [held_by_me, 'expires_at = ' ~ end, assignment] -%}
    {%- do graph.update({'tidemark_run_lock' ~ invocation_id: tidemark.wall_clock()}) -%}
    {%- do tidemark.update_run_lock(assignments | join(', '), condition) -%}
    {%- set is_mine = 'case when ' ~ held_by_me ~ ' then 1 else 0 end' -%}
    {%- set held = 'select holder, expires_at from ' ~ tidemark.ops_table('run_lock') ~ ' where holder is not null' -%}
    {{ return(run_query(held ~ ' order by ' ~ is_mine).rows | first) }}
{%- endmacro %}

{%- macro run_lock_rows() -%}
    {%- set statements = [] -%}
    {%- for name, nulls in {'run_lock': 'null, null, null', 'run_lock_turn': 'null'}.items() -%}
        {%- set lock = tidemark.ops_table(name) -%}
        {%- do statements.append(
            'insert into ' ~ lock ~ ' select ' ~ nulls ~ ' where not exists (select 1 from ' ~ lock ~ ')'
        ) -%}
    {%- endfor -%}
    {{ return(statements) }}
{%- endmacro %}

{#- Committed, whatever becomes of the run. -#}
{%- macro update_run_lock(assignments, condition) -%}
    {%- do tidemark.write_down([
        'update ' ~ tidemark.ops_table('run_lock_turn') ~ ' set taken_at = ' ~ tidemark.engine_clock(),
        'update ' ~ tidemark.ops_table('run_lock') ~ ' set ' ~ assignments ~ ' where ' ~ condition,
    ]) -%}
{%- endmacro %}

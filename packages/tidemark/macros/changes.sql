{#- Change detection: what a run recomputes. A model says which raw rows it reads, through one of these:

      touched_partitions(relation, entity, day)   every row of the partitions that newly loaded rows touch
      call replay_from(entity, day)               the query that says from which day each entity is replayed
      replayed_rows(entity)                       every row of the replayed entities, from their first touched day
      touched_sessions(relation, entity, ...)     every row of the sessions that newly loaded rows touch
      changed_partitions(relation, entity, day)   every row of the partitions that changed in a table of sessions
      latest_version(relation)                    of each identity, the version that counts

    On a full refresh everything is touched: the same SQL, from the beginning of time. -#}

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

{%- macro touched_partitions(relation, entity, day, lookback_days=0) -%}
    {%- set state = tidemark.run_state() -%}
    {%- if execute and model.resource_type == 'model' and tidemark.lookback_of(model) != lookback_days -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ' looks ' ~ lookback_days ~ ' days back and does not say so in its YAML: '
            ~ 'config: {meta: {lookback_days: ' ~ lookback_days ~ '}}.'
        ) }}
    {%- endif -%}
    {%- if state.mode == 'full' -%}
        {{ return(tidemark.valid_and_visible()) }}
    {%- endif -%}
    {%- set sql -%}
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
    {%- endset -%}
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

{%- macro is_touched(entity, day) -%}
    {%- set state = tidemark.run_state() -%}
    {%- if state.mode == 'full' -%}
        {{ return('true') }}
    {%- endif -%}
    ({{ entity }}, {{ day }}) in (select {{ entity }}, touched_day from {{ state.touched }})
{%- endmacro %}

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

{#- An event may leave its session with a newer version. So a session is touched by every version of what was newly
    loaded, and read with every version of its events: the one that took an event away names another session. -#}
{%- macro touched_sessions(relation, entity, session, first, last) -%}
    {%- set state = tidemark.run_state() -%}
    {%- if state.mode == 'full' -%}
        {{ return(tidemark.valid_and_visible()) }}
    {%- endif -%}
    {%- set identity = tidemark.version_of(relation).identity | join(', ') -%}
    {%- if not state.window -%}
        {#- a window needs no look for other versions: those of one identity lie on one day -#}
        {%- set new_rows = 'select ' ~ identity ~ ' from ' ~ relation ~ ' where ' ~ tidemark.newly_loaded() -%}
        {%- set loaded = tidemark.found_once('loaded', new_rows) -%}
    {%- endif -%}
    {%- set sql -%}
        with named as (
            select
                {{ entity }},
                {{ session }},
                {{ tidemark.staged('activity_date') }}
            from {{ relation }}
            where
                {{ tidemark.valid_and_visible() }}
                and {{ session }} is not null
                {%- if state.window %}
                and {{ tidemark.within(tidemark.staged('occurred_at'), [state.window]) }}
                {%- if state.mode == 'coverage' and tidemark.retention_floor(model) %}
                and {{ tidemark.began_later(entity, session, tidemark.retention_floor(model)) }}
                {%- endif %}
                {%- else %}
                {%- set days_loaded = tidemark.ranges_of(tidemark.staged('activity_date'), loaded) %}
                and {{ tidemark.within(tidemark.staged('occurred_at'), days_loaded) }}
                and ({{ identity }}) in (select {{ identity }} from {{ loaded }})
                {%- endif %}
            {%- if state.requests %}
            union all
            select
                {{ entity }},
                {{ session }},
                {{ tidemark.staged('activity_date') }}
            from {{ relation }}
            where
                {{ tidemark.valid_and_visible() }}
                and {{ session }} is not null
                and {{ tidemark.within(tidemark.staged('occurred_at'), tidemark.merged_ranges(state.requests.days)) }}
                and ({{ entity }}, {{ tidemark.staged('activity_date') }}) in (
                    {{ tidemark.requests_of(entity) }}
                )
            {%- endif %}
        )

        select
            {{ entity }},
            {{ session }},
            max(stored_day) as touched_day,
            min(first_day) as first_day,
            max(last_day) as last_day
        from (
            select
                {{ entity }},
                {{ session }},
                cast(null as date) as stored_day,
                {{ tidemark.staged('activity_date') }} as first_day,
                {{ tidemark.staged('activity_date') }} as last_day
            from named
            union all
            select
                {{ entity }},
                {{ session }},
                cast({{ first }} as date) as stored_day,
                cast({{ first }} as date) as first_day,
                cast({{ last }} as date) as last_day
            from {{ this }}
            where
                {%- if state.window %}
                {#- also those that only reach into the window: it may have taken events from them -#}
                (
                    {{ tidemark.earlier_than(first, state.window[1]) }}
                    and {{ tidemark.not_earlier_than(last, state.window[0]) }}
                )
                {%- endif %}
                {#- coverage is to find those that have events in the window and are not stored there -#}
                {%- if state.mode != 'coverage' %}
                {{ 'or' if state.window }} ({{ entity }}, {{ session }}) in (
                    select {{ entity }}, {{ session }} from named
                )
                {%- endif %}
            {%- if state.requests %}
            union all
            select
                stored.{{ entity }},
                stored.{{ session }},
                cast(stored.{{ first }} as date) as stored_day,
                cast(stored.{{ first }} as date) as first_day,
                cast(stored.{{ last }} as date) as last_day
            from {{ this }} as stored
            inner join ({{ tidemark.requests_of(entity) }}) as requests
                on
                    stored.{{ entity }} = requests.{{ entity }}
                    and cast(stored.{{ first }} as date) <= requests.day
                    and cast(stored.{{ last }} as date) >= requests.day
            {%- endif %}
        ) as touched_rows
        group by {{ entity }}, {{ session }}
    {%- endset -%}
    {%- do state.update({'session': session}) -%}
    {%- do tidemark.keep_touched(sql, entity, first) -%}
    {#- what is stored says from where to where a session reaches, unless it is the stored that someone doubts; coverage
        cannot afford to doubt it: damage shows on the days that it looks at, or when it looks at others -#}
    {%- set ranges = none -%}
    {%- set trusts_stored = state.mode == 'coverage' or not (state.window or state.requests) -%}
    {%- if state.touched_days is defined and trusts_stored -%}
        {%- set ranges = tidemark.merged_ranges(state.reached_spans) -%}
    {%- endif -%}
    {%- if state.mode == 'coverage' -%}
        {#- nearly all that these days have: a list of it took a fifth more time, and of 50 million events all 8 GB -#}
        {%- set lies_in_ranges = tidemark.within(tidemark.staged('occurred_at'), ranges) -%}
        {{ return([tidemark.valid_and_visible(), lies_in_ranges, tidemark.is_asked_entity(entity)] | join(' and ')) }}
    {%- endif -%}
    {%- set versions -%}
        select {{ identity }}
        from {{ relation }}
        where
            {{ tidemark.valid_and_visible() }}
            and {{ tidemark.within(tidemark.staged('occurred_at'), ranges) }}
            and {{ tidemark.is_touched_session(entity, session) }}
    {%- endset -%}
    {{ tidemark.valid_and_visible() }}
    and {{ tidemark.within(tidemark.staged('occurred_at'), ranges) }}
    and ({{ identity }}) in (select {{ identity }} from {{ tidemark.found_once('versions', versions) }})
{%- endmacro %}

{%- macro is_touched_session(entity, session) -%}
    {%- set state = tidemark.run_state() -%}
    {%- if state.mode == 'full' -%}
        {%- set floor = tidemark.retention_floor(model) -%}
        {{ return(session ~ ' is not null' ~ (
            ' and ' ~ tidemark.began_later(entity, session, floor) if floor and load_relation(this) else ''
        )) }}
    {%- endif -%}
    ({{ entity }}, {{ session }}) in (select {{ entity }}, {{ session }} from {{ state.touched }})
{%- endmacro %}

{#- A session that began below the floor stays as it is stored, whatever of it lies above. -#}
{%- macro began_later(entity, session, floor) -%}
    ({{ entity }}, {{ session }}) not in (
        select {{ entity }}, {{ session }} from {{ this }}
        where {{ tidemark.earlier_than(tidemark.day_column(model), floor) }}
    )
{%- endmacro %}

{#- For what is built on a table of sessions. A restatement reads what has changed since the last run, too, but does not
    count as having read it: only part of the table was rewritten. -#}
{%- macro changed_partitions(relation, entity, day) -%}
    {%- set state = tidemark.run_state() -%}
    {%- if state.mode == 'full' -%}
        {{ return('true') }}
    {%- endif -%}
    {%- set sql -%}
        select distinct
            {{ entity }},
            touched_day
        from (
            select
                cast(entity as {{ tidemark.stored_type(entity) }}) as {{ entity }},
                day as touched_day
            from {{ tidemark.ops_table('changed_keys') }}
            where
                {%- if state.mode == 'coverage' %}
                false
                {%- else %}
                {{ tidemark.unread_changes(model.name, [relation.identifier]) }}
                {%- endif %}
            {{- tidemark.requested_keys(entity) }}
            {%- for table in [relation, this] if state.window %}
            union all
            select
                {{ entity }},
                cast({{ day }} as date) as touched_day
            from {{ table }}
            where {{ tidemark.within(day, [state.window]) }}
            {%- endfor %}
        ) as touched
    {%- endset -%}
    {%- do tidemark.keep_touched(sql, entity, day) -%}
    {%- set ranges = tidemark.merged_ranges(state.touched_days) if state.touched_days is defined else none -%}
    {{ tidemark.within(day, ranges) }}
    and ({{ entity }}, cast({{ day }} as date)) in (select {{ entity }}, touched_day from {{ state.touched }})
{%- endmacro %}


{#- Internals -#}

{#- How this model runs now, worked out once per model and run. Kept in `graph`, where compilation, strategy and hooks
    all see it:
      mode        full (everything), incremental (what was loaded since the watermark), restate (a window of days),
                  coverage (the same, and only to compare)
      since       the lower bound of load times, inclusive: the overlap before the watermark
      window      the restated days, [first, end)
      known       the clock up to which coverage compares
      requests    until when someone asked for partitions, and of which days
      began       when it was first asked for
    and later: entity, day, touched (the table or query of touched keys), touched_days, reached_spans (of sessions),
    partitions, rows. -#}
{%- macro run_state() -%}
    {%- set states = graph.setdefault('tidemark_states', {}) if execute else {} -%}
    {%- set key = invocation_id ~ model.unique_id -%}
    {%- if key not in states -%}
        {%- if flags.WHICH in ('run', 'build', 'snapshot') and model.resource_type != 'unit_test' -%}
            {%- do tidemark.open_session() -%}
        {%- endif -%}
        {%- set is_whole = config.get('incremental_strategy') == 'full' -%}
        {%- if tidemark.is_coverage() and is_incremental() -%}
            {%- set mode, window = 'coverage', tidemark.coverage_window() -%}
        {%- elif is_whole or not is_incremental() -%}
            {%- set mode, window = 'full', none -%}
        {%- else -%}
            {%- set window = tidemark.restated_window() -%}
            {%- set mode = 'restate' if window else 'incremental' -%}
        {%- endif -%}
        {%- set watermark = tidemark.last_watermark() if mode == 'incremental' else none -%}
        {%- do states.update({key: {
            'mode': mode,
            'since': tidemark.overlap_start(watermark) if watermark else none,
            'window': window,
            'known': tidemark.known_clock() if mode == 'coverage' else tidemark.as_of_value(),
            'requests': none if window or model.resource_type == 'unit_test' else tidemark.open_requests(),
            'partitions': none,
            'began': tidemark.wall_clock(),
        }}) -%}
    {%- endif -%}
    {{ return(states[key]) }}
{%- endmacro %}

{#- dbt's own --event-time-start and --event-time-end (it asks for both or none), widened to whole days. -#}
{%- macro restated_window() -%}
    {%- set explained = var('explain') if tidemark.is_explained() else {} -%}
    {%- set start = explained.get('start') or invocation_args_dict.get('event_time_start') -%}
    {%- set end = explained.get('end') or invocation_args_dict.get('event_time_end') -%}
    {%- if model.resource_type == 'unit_test' or not start -%}
        {{ return(none) }}
    {%- endif -%}
    {{ return(tidemark.whole_days(start, end)) }}
{%- endmacro %}

{%- macro whole_days(start, end) -%}
    {%- set last_moment = tidemark.shifted(tidemark.utc_moment(end), modules.datetime.timedelta(microseconds=-1)) -%}
    {{ return((tidemark.utc_moment(start).date(), tidemark.day_plus(last_moment.date(), 1))) }}
{%- endmacro %}

{#- The touched keys go into one temporary table: what is recomputed and what is deleted cannot differ. -#}
{%- macro keep_touched(sql, entity, day) -%}
    {%- set state = tidemark.run_state() -%}
    {%- set touched = tidemark.found_once('touched', tidemark.among_asked(tidemark.above_floor(sql), entity)) -%}
    {%- do state.update({'entity': entity, 'day': day, 'touched': touched}) -%}
    {%- if tidemark.keeps_touched() -%}
        {%- set column = 'replay_from' if config.get('incremental_strategy') == 'replay' else 'touched_day' -%}
        {%- set has_spans = config.get('incremental_strategy') == 'sessions' -%}
        {%- set days_sql -%}
            select
                {{ tidemark.within_calendar(column) }} as day,
                count(*) as touched_keys
                {%- for reached in ['first_day', 'last_day'] if has_spans %},
                {{ tidemark.within_calendar(reached) }} as {{ reached }}
                {%- endfor %}
            from {{ state.touched }}
            group by {{ '1, 3, 4' if has_spans else 1 }}
            order by day
        {%- endset -%}
        {%- set found = run_query(days_sql) -%}
        {%- do state.update({
            'touched_days': found.columns[0].values() | reject('none') | unique | list,
            'partitions': found.columns[1].values() | sum | int,
            'reached_spans': zip(found.columns[2].values(), found.columns[3].values()) | list if has_spans else none,
        }) -%}
    {%- endif -%}
    {%- if tidemark.is_explained() -%}
        {%- do tidemark.explain_touched() -%}
    {%- endif -%}
{%- endmacro %}

{#- The touched keys that may still be recomputed: whatever touches the others, what is stored of them stays. A session
    that is not stored yet has no touched day. -#}
{%- macro above_floor(sql) -%}
    {%- set floor = tidemark.retention_floor(model) -%}
    {%- if not floor -%}
        {{ return(sql) }}
    {%- endif -%}
    {%- if tidemark.run_state().window and tidemark.run_state().window[0] < floor -%}
        {%- do log(model.name ~ ': nothing before ' ~ floor ~ ' is restated, its raw rows were pruned.', info=true) -%}
    {%- endif -%}
    select * from ({{ sql }}) as found
    where touched_day is null or touched_day >= {{ tidemark.date_literal(floor) }}
{%- endmacro %}

{#- Coverage of some entities works out these alone. -#}
{%- macro among_asked(sql, entity) -%}
    {%- set condition = tidemark.is_asked_entity(entity) if tidemark.run_state().mode == 'coverage' else 'true' -%}
    {{ return(sql if condition == 'true' else 'select * from (' ~ sql ~ ') as found where ' ~ condition) }}
{%- endmacro %}

{#- What a query finds, in a temporary table, so that it is asked once and the engine knows how little it is. Compile,
    docs, show and unit tests get the query itself, and write nothing. -#}
{%- macro found_once(name, sql) -%}
    {%- if tidemark.keeps_touched() -%}
        {%- do run_query('create or replace temporary table ' ~ tidemark.touched_table(name) ~ ' as ' ~ sql) -%}
    {%- endif -%}
    {{ return(tidemark.touched_table(name) if tidemark.keeps_touched() else '(' ~ sql ~ ') as ' ~ name) }}
{%- endmacro %}

{%- macro keeps_touched() -%}
    {{ return(model.resource_type == 'model' and (flags.WHICH in ('run', 'build') or tidemark.is_explained())) }}
{%- endmacro %}

{#- The days of some rows, as ranges to be written as literals; where nothing may be asked of the warehouse on the
    side, no bound. -#}
{%- macro ranges_of(day, rows) -%}
    {%- if not tidemark.keeps_touched() -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set found = run_query('select distinct ' ~ tidemark.within_calendar(day) ~ ' from ' ~ rows) -%}
    {{ return(tidemark.merged_ranges(found.columns[0].values() | sort)) }}
{%- endmacro %}

{#- What someone asked to be recomputed, as further rows of (entity, day). Coverage asks for the very partitions that it
    found; others for what raw rows of that day make, which may reach further. -#}
{%- macro requested_keys(entity, condition='true') -%}
    {%- if is_incremental() and tidemark.run_state().requests %}
    union all
    {{ tidemark.requests_of(entity, condition) }}
    {%- endif %}
{%- endmacro %}

{%- macro requests_of(entity, condition='true') -%}
    select
        try_cast(entity as {{ tidemark.stored_type(entity) }}) as {{ entity }},
        day
    from {{ tidemark.ops_table('requested_partitions') }}
    where {{ tidemark.is_requested() }} and coalesce({{ condition }}, true)
{%- endmacro %}

{#- The requests that this run takes on: not those that are made while it runs. -#}
{%- macro is_requested() -%}
    model_name = '{{ model.name }}'
    and done_at is null
    and requested_at <= {{ tidemark.timestamp_literal(tidemark.run_state().requests.until) }}
{%- endmacro %}

{#- Requests and changed keys name entities as text; the table knows their type. -#}
{%- macro stored_type(column) -%}
    {%- set names = [] -%}
    {%- for stored in adapter.get_columns_in_relation(this) if stored.name | lower == column -%}
        {%- do names.append(stored.dtype) -%}
    {%- endfor -%}
    {{ return(names[0]) }}
{%- endmacro %}

{#- Days, and spans of them (first, last), as at most ten [first, end) ranges, cut at the widest gaps. As literals they
    let the engine skip what it stores of other days; past ten OR-ed ranges cost more than they save (measured: 40
    scattered days took 8 times as long). What a span costs does not depend on how many days it has. #}
{%- macro merged_ranges(spans, lookback_days=0, most=10) -%}
    {%- set islands, gaps, ranges = [], [], [] -%}
    {%- for span in spans -%}
        {%- do islands.append((span[0], span[1]) if span is sequence else (span, span)) -%}
    {%- endfor -%}
    {%- set sorted_spans, reach = islands | sort, namespace(last=none) -%}
    {%- for first, last in sorted_spans -%}
        {%- if reach.last and (first - reach.last).days > 1 + lookback_days -%}
            {%- do gaps.append(((first - reach.last).days, first)) -%}
        {%- endif -%}
        {%- set reach.last = [reach.last or last, last] | max -%}
    {%- endfor -%}
    {%- set starts = (gaps | sort(reverse=true))[:most - 1] | map(attribute=1) | list -%}
    {%- set reach.last = none -%}
    {%- for first, last in sorted_spans -%}
        {%- set goes_on = reach.last and (first not in starts or first <= reach.last) -%}
        {%- set begin = ranges.pop()[0] if goes_on else tidemark.first_of(first, lookback_days) -%}
        {%- set reach.last = [reach.last or last, last] | max if goes_on else last -%}
        {%- do ranges.append((begin, tidemark.end_of(reach.last))) -%}
    {%- endfor -%}
    {{ return(ranges) }}
{%- endmacro %}

{#- The bounds of a range, none where the calendar of Jinja ends: what lies beyond it is stored there, too. -#}
{%- macro first_of(day, lookback_days=0) -%}
    {%- set first = tidemark.day_plus(day, -lookback_days) -%}
    {{ return(none if first.year == 1 else first) }}
{%- endmacro %}

{%- macro end_of(day) -%}
    {{ return(none if day.year == 9999 else tidemark.day_plus(day, 1)) }}
{%- endmacro %}

{#- The column lies in any of the ranges of days; no ranges known means no bound, and so does a bound that is none. -#}
{%- macro within(column, ranges) -%}
    {%- if ranges is none -%}
        {{ return('true') }}
    {%- endif -%}
    {%- set terms = [] -%}
    {%- for first, end in ranges -%}
        {%- set lower = tidemark.not_earlier_than(column, first) if first else '' -%}
        {%- set upper = tidemark.earlier_than(column, end) if end else '' -%}
        {%- do terms.append('(' ~ ([lower, upper] | select | join(' and ') or 'true') ~ ')') -%}
    {%- endfor -%}
    {{ return('(' ~ (terms | join(' or ') or 'false') ~ ')') }}
{%- endmacro %}

{%- macro numbers_to(last) -%}
    (
        select 0 as days_later
        {%- for number in range(1, last + 1) %}
        union all
        select {{ number }} as days_later
        {%- endfor %}
    ) as offsets
{%- endmacro %}

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

{#- In place of delete and insert: the outcome of every partition in the window replaces what was known of it. What is
    in order and older than the default window is forgotten, or there would be a row for every day that ever was. -#}
{%- macro coverage_dml(args) -%}
    {%- set state, coverage = tidemark.run_state(), tidemark.ops_table('partition_coverage') -%}
    {%- set checked = tidemark.found_once('checked', tidemark.compared_partitions(args)) -%}
    {%- set states = {} -%}
    {%- for row in run_query('select state, count(*) from ' ~ checked ~ ' group by state').rows -%}
        {%- do states.update({row[0]: row[1] | int}) -%}
    {%- endfor -%}
    {%- do log('tidemark:coverage ' ~ tojson({
        'model': model.name,
        'window': state.window | map('string') | list,
        'as_of': state.known.isoformat(),
        'states': states,
    })) -%}
    {%- set kept_from = tidemark.days_ago(tidemark.setting('coverage_days')) -%}
    {%- set deletion -%}
        delete from {{ coverage }}
        where
            model_name = '{{ model.name }}'
            and (
                day is null
                or {{ tidemark.within('day', [state.window]) }}
                or (state = 'ok' and day < {{ tidemark.date_literal(kept_from) }})
            )
            and {{ tidemark.is_asked_entity('entity') }}
    {%- endset -%}
    {%- set insertion -%}
        insert into {{ coverage }}
        select
            '{{ model.name }}',
            {{ tidemark.text_literal(tidemark.domain_of(model)) }},
            '{{ config.get("incremental_strategy") }}',
            {{ tidemark.text_literal(tidemark.built_on(model) | join(', ')) }},
            checked.entity,
            checked.day,
            checked.state,
            checked.expected_rows,
            checked.stored_rows,
            checked.differing_rows,
            checked.differing_columns,
            checked.is_current,
            {{ tidemark.is_rebuildable('checked.day') }},
            {{ tidemark.timestamp_literal(state.known) }},
            checked.found_at,
            {{ tidemark.timestamp_literal(tidemark.wall_clock()) }},
            {{ tidemark.text_literal(tidemark.run_id()) }},
            checked.compared_from
        from {{ checked }} as checked
    {%- endset -%}
    {{ return(tidemark.in_one_transaction([deletion, insertion])) }}
{%- endmacro %}

{#- Rows are compared as multisets, on every column that the mart derives: no key to declare, duplicates count. Sums of
    hashes say which partitions have to be looked at, and only those are compared row by row. -#}
{%- macro compared_partitions(args) -%}
    {%- set state, columns = tidemark.run_state(), [] -%}
    {%- for column in args.dest_columns if column.name | lower != 'record_loaded_at' -%}
        {%- do columns.append(column.quoted) -%}
    {%- endfor -%}
    {%- set is_whole = config.get('incremental_strategy') == 'full' -%}
    {%- set entity = tidemark.covered_entity() -%}
    {%- set day = 'cast(null as date)' if is_whole else 'cast(' ~ state.day ~ ' as date)' -%}
    {%- set first_day = tidemark.date_literal(state.window[0]) -%}
    {%- set entity_text = tidemark.column_text(entity, model.get('columns', {}).get(entity, {}).get('data_type')) %}
    with sides as (
        {%- for relation in [args.temp_relation, args.target_relation] %}
        select
            {{ entity_text }} as covered_entity,
            {{ day }} as covered_day,
            {{ columns | join(', ') }},
            {{ 0 if loop.last else 1 }} as expected_rows,
            {{ 1 if loop.last else 0 }} as stored_rows
        from {{ relation }}
        where
            {{ 'true' if is_whole else tidemark.within(state.day, [state.window]) }}
            and {{ tidemark.is_asked_entity(entity) }}
        {{- ' union all' if not loop.last }}
        {%- endfor %}
    ),

    partitions as (
        select
            sides.covered_entity,
            sides.covered_day,
            sum(sides.expected_rows) as expected_rows,
            sum(sides.stored_rows) as stored_rows,
            sum((sides.expected_rows - sides.stored_rows) * {{ tidemark.row_hash(columns) }}) as balance
        from sides
        group by sides.covered_entity, sides.covered_day
    ),

    differing_rows as (
        select
            sides.covered_entity,
            sides.covered_day,
            {% for column in columns %}sides.{{ column }}, {% endfor %}
            sum(sides.expected_rows - sides.stored_rows) as balance
        from sides
        inner join partitions
            on
                sides.covered_entity = partitions.covered_entity
                and sides.covered_day is not distinct from partitions.covered_day
        where partitions.balance <> 0 or partitions.expected_rows <> partitions.stored_rows
        group by sides.covered_entity, sides.covered_day{% for column in columns %}, sides.{{ column }}{% endfor %}
        having sum(sides.expected_rows - sides.stored_rows) <> 0
    ),

    differences as (
        select
            covered_entity,
            covered_day,
            sum(case when balance > 0 then balance else 0 end) as absent_rows,
            sum(case when balance < 0 then -balance else 0 end) as surplus_rows,
            ''
            {%- for column in columns %}
            || case
                when sum(balance * {{ tidemark.row_hash([column]) }}) <> 0 then ', {{ column | replace('"', '') }}'
                else ''
            end
            {%- endfor %} as differing_columns
        from differing_rows
        group by covered_entity, covered_day
    ),

    {%- set calendar = tidemark.covered_calendar() if var('coverage').get('calendar') and not is_whole else none %}
    {%- if calendar %}

    calendar as (
        {{ calendar }}
    ),
    {%- endif %}

    judged as (
        select
            {%- if calendar %}
            coalesce(partitions.covered_entity, calendar.entity) as entity,
            coalesce(partitions.covered_day, calendar.day) as day,
            {%- else %}
            partitions.covered_entity as entity,
            partitions.covered_day as day,
            {%- endif %}
            case
                when differences.absent_rows is null and partitions.stored_rows is not null then 'ok'
                when coalesce(partitions.stored_rows, 0) = 0 then 'missing'
                when partitions.expected_rows = 0 then 'orphaned'
                else 'different'
            end as state,
            coalesce(partitions.expected_rows, 0) as expected_rows,
            coalesce(partitions.stored_rows, 0) as stored_rows,
            coalesce(case
                when differences.absent_rows > differences.surplus_rows then differences.absent_rows
                else differences.surplus_rows
            end, 0) as differing_rows,
            -- of a row that is simply not there every column differs
            case
                when differences.absent_rows = differences.surplus_rows then substr(differences.differing_columns, 3)
            end as differing_columns
        from partitions
        left join differences
            on
                partitions.covered_entity = differences.covered_entity
                and partitions.covered_day is not distinct from differences.covered_day
        {%- if calendar %}
        full outer join calendar
            on partitions.covered_entity = calendar.entity and partitions.covered_day = calendar.day
        {%- endif %}
    )

    select
        judged.entity,
        judged.day,
        judged.state,
        cast(judged.expected_rows as bigint) as expected_rows,
        cast(judged.stored_rows as bigint) as stored_rows,
        cast(judged.differing_rows as bigint) as differing_rows,
        judged.differing_columns,
        coalesce(judged.day >= {{ tidemark.date_literal(state.known) }}, false) as is_current,
        case
            when judged.state <> 'ok'
                then coalesce(known.found_at, {{ tidemark.timestamp_literal(tidemark.wall_clock()) }})
        end as found_at,
        {#- a command that has looked from an earlier day on knows what it then wrote there itself #}
        case
            when known.run_id = {{ tidemark.text_literal(tidemark.run_id()) }} and known.compared_from < {{ first_day }}
                then known.compared_from
            else {{ first_day }}
        end as compared_from
    from judged
    left join {{ tidemark.ops_table('partition_coverage') }} as known
        on
            known.model_name = '{{ model.name }}'
            and judged.entity = known.entity
            and judged.day is not distinct from known.day
{%- endmacro %}

{#- The rows of a table that is rebuilt whole belong to the first column of its unique key, and to no day. -#}
{%- macro covered_entity() -%}
    {%- if config.get('incremental_strategy') != 'full' -%}
        {{ return(tidemark.run_state().entity) }}
    {%- endif -%}
    {%- set key = config.get('unique_key') -%}
    {{ return(key if key is string else key[0]) }}
{%- endmacro %}

{#- For those who want it: every entity has rows on every ended day of the window. Where a setting names the enabled
    entities of the domain these, else all that the table knows. -#}
{%- macro covered_calendar() -%}
    {%- set state = tidemark.run_state() -%}
    {%- set enabled = tidemark.setting('enabled_entities').get(tidemark.domain_of(model)) -%}
    {%- set last_day = tidemark.day_plus([state.window[1], state.known.date()] | min, -1) -%}
    {%- set first, last = tidemark.date_literal(state.window[0]), tidemark.date_literal(last_day) %}
    select
        entities.entity,
        {{ tidemark.day_of('calendar', first) }} as day
    from (
        {%- if enabled %}
        select cast({{ enabled.entity }} as varchar) as entity
        from {{ tidemark.relation_of(tidemark.model_named(enabled.model)) }}
        where {{ enabled.condition }}
        {%- else %}
        select distinct cast({{ state.entity }} as varchar) as entity
        from {{ this }}
        {%- endif %}
    ) as entities
    cross join {{ tidemark.each_day(first, last) }} as calendar
    where {{ tidemark.is_asked_entity('entities.entity') }}
{%- endmacro %}

{#- What a model belongs to: its meta `domain`, else its folder. -#}
{%- macro domain_of(node) -%}
    {{ return((node.config.get('meta') or {}).get('domain') or node.fqn[-2]) }}
{%- endmacro %}

{#- The stored marts that a mart is built on, over any number of views: what is wrong there may look wrong here. -#}
{%- macro built_on(node) -%}
    {%- set names, queue = [], node.depends_on.nodes | list -%}
    {%- for id in queue if id in graph.nodes -%}
        {%- if graph.nodes[id].config.materialized == 'incremental' -%}
            {%- do names.append(graph.nodes[id].name) -%}
        {%- endif -%}
        {%- for parent in graph.nodes[id].depends_on.nodes if parent not in queue -%}
            {#- the loop goes on over what it appends -#}
            {%- do queue.append(parent) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(names | sort) }}
{%- endmacro %}

{#- Whether the raw rows of a day are still there; what retention has taken cannot be told from damage. -#}
{%- macro is_rebuildable(day) -%}
    {{ return(tidemark.not_earlier_than(day, tidemark.retention_floor(model))) }}
{%- endmacro %}


{#- The repair -#}

{#- Whether an entity is one of those that `vars: backfill: priority_entities` puts first. -#}
{%- macro is_priority_entity(entity) -%}
    {{ return(tidemark.is_one_of(entity, tidemark.setting('backfill').priority_entities)) }}
{%- endmacro %}

{#- run-operation: asks for what ops.backfill_plan plans, the replayed from their first damaged day, and writes down
    that it is being repaired. What an earlier repair left open for too long counts as failed. -#}
{%- macro start_backfill(models=none, entity=none, day=none, below_minimum=false) -%}
    {%- do tidemark.names_argument('models', models, tidemark.stored_tables()) -%}
    {%- set entity = tidemark.text_argument('entity', entity, is_optional=true) -%}
    {%- set day = tidemark.day_argument('day', day, is_optional=true) -%}
    {%- do tidemark.flag_argument('below_minimum', below_minimum) -%}
    {%- set planned = graph.nodes.get('model.tidemark.backfill_plan') -%}
    {%- set plan = tidemark.relation_of(planned) -%}
    {%- if load_relation(plan) is none -%}
        {{ exceptions.raise_compiler_error(
            'There is no ' ~ plan ~ '. Nothing was requested. Build it: dbt run --select package:tidemark'
        ) }}
    {%- endif -%}
    {%- do tidemark.create_ops_tables() -%}
    {%- do tidemark.take_run_lock() -%}
    {%- do tidemark.refuse_earlier_clock() -%}
    {%- set now = tidemark.timestamp_literal(tidemark.wall_clock()) -%}
    {%- set attempts = tidemark.ops_table('backfill_attempts') -%}
    {%- set patience = modules.datetime.timedelta(hours=tidemark.setting('backfill').abandoned_after_hours) -%}
    {%- set is_abandoned = 'attempts.started_at < ' ~ tidemark.timestamp_literal(tidemark.wall_clock() - patience) -%}
    {%- do tidemark.write_down(tidemark.attempts_end(tidemark.open_attempts(is_abandoned), {
        'outcome': "'failed'",
        'error_message': "'The repair was abandoned: it never recorded its end.'",
    })) -%}
    {%- set picked -%}
        decision in ('planned'{% if below_minimum %}, 'below minimum'{% endif %})
        {%- if models is not none %}
        and {{ tidemark.is_one_of('model_name', models) }}
        {%- endif %}
        {%- if entity is not none %}
        and entity = {{ tidemark.text_literal(entity) }}
        {%- endif %}
        {%- if day is not none %}
        and plan_day = {{ tidemark.date_literal(day) }}
        {%- endif %}
    {%- endset -%}
    {%- set requests -%}
        insert into {{ tidemark.ops_table('requested_partitions') }}
        select distinct
            {{ tidemark.text_literal(tidemark.run_id()) }},
            model_name,
            entity,
            request_day,
            'coverage',
            {{ now }},
            {{ tidemark.timestamp_literal(none) }},
            {{ tidemark.text_literal(none) }}
        from {{ plan }}
        where {{ picked }}
    {%- endset -%}
    {%- set begun -%}
        insert into {{ attempts }}
        select
            {{ tidemark.text_literal(tidemark.run_id()) }},
            model_name,
            entity,
            day,
            'started',
            state,
            found_at,
            {{ tidemark.as_of() }},
            {{ now }},
            {{ tidemark.timestamp_literal(none) }},
            {{ tidemark.text_literal(none) }}
        from {{ plan }}
        where {{ picked }}
    {%- endset -%}
    {%- do tidemark.write_down([requests, begun]) -%}
    {%- do tidemark.release_run_lock() -%}
    {%- set started -%}
        select model_name, count(*), min(day), max(day)
        from ({{ tidemark.open_attempts(tidemark.of_this_run()) }}) as started
        group by model_name
        order by model_name
    {%- endset -%}
    {%- set models = {} -%}
    {%- for row in run_query(started).rows -%}
        {%- do models.update({row[0]: {
            'partitions': row[1] | int,
            'first_day': row[2] | string if row[2] else none,
            'last_day': row[3] | string if row[3] else none,
        }}) -%}
    {%- endfor -%}
    {%- do log('tidemark:backfill_started ' ~ tojson({'run_id': tidemark.run_id(), 'models': models})) -%}
{%- endmacro %}

{#- run-operation, after the build and another look at the same days: what coverage says now is the outcome. A request
    that the build did not take on is withdrawn, so that the back-off decides when it is tried again. -#}
{%- macro finish_backfill(error=none) -%}
    {%- set error = tidemark.text_argument('error', error, is_optional=true) -%}
    {%- do tidemark.create_ops_tables() -%}
    {%- do tidemark.refuse_earlier_clock() -%}
    {%- set outcome = tidemark.attempts_end(tidemark.open_attempts(tidemark.of_this_run()), {
        'outcome': "case when coalesce(coverage.state, 'ok') = 'ok' then 'repaired' else 'failed' end",
        'error_message': "case when coalesce(coverage.state, 'ok') <> 'ok' then "
            ~ tidemark.message_literal(error or 'It was built, and is still not what it should be.') ~ ' end',
    }) -%}
    {%- set withdrawn -%}
        update {{ tidemark.ops_table('requested_partitions') }}
        set done_at = {{ tidemark.timestamp_literal(tidemark.wall_clock()) }}
        where request_id = {{ tidemark.text_literal(tidemark.run_id()) }} and reason = 'coverage' and done_at is null
    {%- endset -%}
    {%- do tidemark.write_down([outcome, withdrawn]) -%}
    {%- set outcomes, counted = {'repaired': 0, 'failed': 0}, [] -%}
    {%- set ended -%}
        select outcome, count(*) from {{ tidemark.ops_table('backfill_attempts') }}
        where {{ tidemark.of_this_run() }} and outcome <> 'started'
        group by outcome
    {%- endset -%}
    {%- for row in run_query(ended).rows -%}
        {%- do outcomes.update({row[0]: row[1] | int}) -%}
    {%- endfor -%}
    {%- do log('tidemark:backfill_finished ' ~ tojson(dict(outcomes, run_id=tidemark.run_id()))) -%}
{%- endmacro %}

{%- macro of_this_run() -%}
    {{ return('run_id = ' ~ tidemark.text_literal(tidemark.run_id())) }}
{%- endmacro %}

{#- Attempts that have begun and not ended: nothing is repaired twice at once. -#}
{%- macro open_attempts(condition) -%}
    select
        attempts.run_id,
        attempts.model_name,
        attempts.entity,
        attempts.day,
        attempts.state,
        attempts.found_at,
        attempts.as_of,
        max(attempts.started_at) as started_at
    from {{ tidemark.ops_table('backfill_attempts') }} as attempts
    where {{ condition }}
    group by
        attempts.run_id,
        attempts.model_name,
        attempts.entity,
        attempts.day,
        attempts.state,
        attempts.found_at,
        attempts.as_of
    having
        count(case when attempts.outcome = 'started' then 1 end)
        > count(case when attempts.outcome <> 'started' then 1 end)
{%- endmacro %}

{%- macro attempts_end(attempts, values) -%}
    insert into {{ tidemark.ops_table('backfill_attempts') }}
    select
        attempts.run_id,
        attempts.model_name,
        attempts.entity,
        attempts.day,
        {{ values.outcome }},
        attempts.state,
        attempts.found_at,
        attempts.as_of,
        attempts.started_at,
        {{ tidemark.timestamp_literal(tidemark.wall_clock()) }},
        {{ values.error_message }}
    from ({{ attempts }}) as attempts
    left join {{ tidemark.ops_table('partition_coverage') }} as coverage
        on
            attempts.model_name = coverage.model_name
            and attempts.entity = coverage.entity
            and attempts.day is not distinct from coverage.day
{%- endmacro %}


{#- For tests across tables: they are known up to the same clock. One that waits for its run is compared after it. -#}
{%- macro known_alike(models) -%}
    (
        select count(distinct known_until) from {{ ref('etl_job_watermarks') }}
        where job_name in ('{{ models | join("', '") }}')
    ) = 1
{%- endmacro %}

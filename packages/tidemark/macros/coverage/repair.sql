{#- The repair of what coverage found: asked for, written down, and judged by another look. -#}

{#- Whether an entity is one of those that `vars: backfill: priority_entities` puts first. -#}
{%- macro is_priority_entity(entity) -%}
    {{ return(tidemark.is_one_of(entity, tidemark.setting('backfill').priority_entities)) }}
{%- endmacro %}

{#- run-operation: asks for what ops.backfill_plan plans, the replayed from their first damaged day, and writes down
    that it is being repaired. -#}
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
    {%- do tidemark.end_abandoned_attempts() -%}
    {%- set picked = tidemark.is_picked(models, entity, day, below_minimum) -%}
    {%- set now = tidemark.timestamp_literal(tidemark.wall_clock()) -%}
    {%- do tidemark.write_down([
        tidemark.requests_of_plan(plan, picked, now), tidemark.attempts_begin(plan, picked, now),
    ]) -%}
    {%- do tidemark.release_run_lock() -%}
    {%- do log('tidemark:backfill_started ' ~ tojson({
        'run_id': tidemark.run_id(), 'models': tidemark.models_under_repair(),
    })) -%}
{%- endmacro %}

{#- What an earlier repair left open for too long counts as failed. -#}
{%- macro end_abandoned_attempts() -%}
    {%- set patience = modules.datetime.timedelta(hours=tidemark.setting('backfill').abandoned_after_hours) -%}
    {%- set is_abandoned = 'attempts.started_at < ' ~ tidemark.timestamp_literal(tidemark.wall_clock() - patience) -%}
    {%- do tidemark.write_down(tidemark.attempts_end(tidemark.open_attempts(is_abandoned), {
        'outcome': "'failed'",
        'error_message': "'The repair was abandoned: it never recorded its end.'",
    })) -%}
{%- endmacro %}

{#- Predicate on ops.backfill_plan: what this repair takes of it. -#}
{%- macro is_picked(models, entity, day, below_minimum) -%}
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
{%- endmacro %}

{%- macro requests_of_plan(plan, picked, now) -%}
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
{%- endmacro %}

{%- macro attempts_begin(plan, picked, now) -%}
    insert into {{ tidemark.ops_table('backfill_attempts') }}
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
{%- endmacro %}

{#- By model how many partitions this command repairs, and from which day to which. -#}
{%- macro models_under_repair() -%}
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
    {{ return(models) }}
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

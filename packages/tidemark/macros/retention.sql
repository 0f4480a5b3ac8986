{#- Retention: raw rows are deleted after a while, what was made of them stays. The floor of a raw table is the first
    day whose rows are all kept. No model recomputes a day below it:

      valid_and_visible    reads no row below the floor, whatever a staging view of an older run lets through
      keep_touched         touches no partition below it: increments, requests, restatements
      with_kept_rows       lets a table that is rebuilt whole take over what is stored below it
      is_touched_session   leaves sessions alone that began below it, also where they go on above it -#}

{#- The first day that a node may still recompute, or none. A window over days must have all of its days. -#}
{%- macro retention_floor(node) -%}
    {%- set first_day = tidemark.first_kept_day(node) -%}
    {{ return(tidemark.day_plus(first_day, tidemark.lookback_of(node)) if first_day else none) }}
{%- endmacro %}

{%- macro lookback_of(node) -%}
    {{ return((node.config.get('meta') or {}).get('lookback_days', 0)) }}
{%- endmacro %}

{#- The first day whose raw rows a node may still read, or none. -#}
{%- macro first_kept_day(node) -%}
    {%- set days = [] -%}
    {%- set is_known = execute and node.resource_type != 'unit_test' and not tidemark.is_at_fixed_clock() -%}
    {%- if is_known and tidemark.ledger_state().floors -%}
        {%- for source in tidemark.sources_above(node.unique_id) if source.name in tidemark.ledger_state().floors -%}
            {%- do days.append(tidemark.ledger_state().floors[source.name]) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(days | max if days else none) }}
{%- endmacro %}

{#- Predicate on a raw table: the event lies below the floor. A literal, so that the view stays as cheap as it was; the
    models do not rely on it. -#}
{%- macro is_beyond_retention(source_name, event_time) -%}
    {%- set is_known = execute and model.resource_type != 'unit_test' and not tidemark.is_at_fixed_clock() -%}
    {%- set floor = tidemark.ledger_state().floors.get(source_name) if is_known else none -%}
    {{ return(tidemark.earlier_than(event_time, floor)) }}
{%- endmacro %}

{%- macro event_time_of(source_name) -%}
    {{ return(tidemark.setting('pruned_sources')[source_name]) }}
{%- endmacro %}

{%- macro is_event_earlier(source, day) -%}
    {%- set event_time = tidemark.event_time_of(source.name) -%}
    {{ return(tidemark.earlier_than(
        tidemark.raw_expression(source, event_time), day, source.columns[event_time].data_type
    )) }}
{%- endmacro %}

{#- The column itself, compared with a literal of its own type: so the engine can skip what it stores of other days. -#}
{%- macro earlier_than(column, day, data_type=none) -%}
    {{ return(column ~ ' < ' ~ tidemark.day_literal(day, data_type or tidemark.type_of(column)) if day else 'false') }}
{%- endmacro %}

{%- macro not_earlier_than(column, day, data_type=none) -%}
    {{ return(column ~ ' >= ' ~ tidemark.day_literal(day, data_type or tidemark.type_of(column)) if day else 'true') }}
{%- endmacro %}

{%- macro day_literal(day, data_type) -%}
    {%- if data_type == 'date' -%}
        {{ return(tidemark.date_literal(day)) }}
    {%- elif data_type is none -%}
        {{ return("'" ~ day ~ " 00:00:00+00:00'") }}
    {%- endif -%}
    {%- set zoned = ['timestamptz', 'timestamp_tz', 'timestamp_ltz', 'timestamp with time zone'] -%}
    {{ return(tidemark.zoned_midnight(day) if data_type in zoned else tidemark.timestamp_literal(day)) }}
{%- endmacro %}

{#- The types that the YAML of a node gives its columns. -#}
{%- macro types_of(unique_id) -%}
    {%- set types = {} -%}
    {%- for column in (graph.nodes[unique_id].columns.values() if execute else []) -%}
        {%- do types.update({column.name: column.data_type}) -%}
    {%- endfor -%}
    {{ return(types) }}
{%- endmacro %}

{#- The type of a column of a node or of what it reads: as the YAML has it, else as it is stored. What is named a day is
    one: of the tables of ops, and of touched keys. None in a unit test, which knows no graph: there a text takes the
    column's type. -#}
{%- macro type_of(column) -%}
    {%- if model.resource_type == 'unit_test' -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set name, nodes = column.split('.')[-1], [model] -%}
    {%- for id in model.depends_on.nodes -%}
        {%- do nodes.append(graph.nodes.get(id) or graph.sources.get(id)) -%}
    {%- endfor -%}
    {%- for node in nodes if node and name in node.columns and node.columns[name].data_type -%}
        {{ return(node.columns[name].data_type) }}
    {%- endfor -%}
    {%- set is_a_day = not execute or modules.re.fullmatch('(\\w+_)?day', name) -%}
    {%- for node in nodes if node and not is_a_day -%}
        {%- set relation = load_relation(tidemark.relation_of(node)) -%}
        {%- for stored in (adapter.get_columns_in_relation(relation) if relation else []) -%}
            {%- if stored.name | lower == name -%}
                {{ return(stored.dtype | lower) }}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if not is_a_day -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ' compares ' ~ column ~ ' with days, and nothing says of what type it is. Name its data_type.'
        ) }}
    {%- endif -%}
    {{ return('date') }}
{%- endmacro %}

{#- The query of an incremental model that is rebuilt whole, with what is stored below its floor. -#}
{%- macro with_kept_rows(query) -%}
    {%- set is_incremental_model = model.resource_type == 'model' and config.get('materialized') == 'incremental' -%}
    {%- set is_rebuilt = is_incremental_model and tidemark.run_state().mode == 'full' -%}
    {%- set floor = tidemark.retention_floor(model) if is_rebuilt else none -%}
    {%- if not floor -%}
        {{ return(query) }}
    {%- endif -%}
    {%- set day = tidemark.day_column(model) -%}
    {%- set names = model.columns.values() | map(attribute='name') | join(', ') -%}
    {%- set recomputed -%}
        select {{ names }}
        from (
            {{ query }}
        ) as recomputed
        where {{ tidemark.not_earlier_than(day, floor) }}
    {%- endset -%}
    {%- if not load_cached_relation(this) -%}
        {%- do exceptions.warn(
            'There is no table ' ~ this ~ ', and raw rows of the days before ' ~ floor ~ ' were pruned: it begins with '
            ~ 'that day. If there was one, restore it from a backup and build ' ~ model.name ~ ' with --full-refresh.'
        ) -%}
        {{ return(recomputed) }}
    {%- endif -%}
    {%- do log(model.name ~ ': what lies before ' ~ floor ~ ' stays as it is, its raw rows were pruned.', info=true) -%}
    {%- set stored = adapter.get_columns_in_relation(this) | map(attribute='name') | map('lower') | list -%}
    {{ recomputed }}
        union all
        select
        {%- for column in model.columns.values() %}
            {{ column.name if column.name in stored else 'cast(null as ' ~ column.data_type ~ ') as ' ~ column.name }}
            {{- ',' if not loop.last }}
        {%- endfor %}
        from {{ this }}
        where {{ tidemark.earlier_than(day, floor) }}
{%- endmacro %}

{#- Which column of a model holds the day of its rows, for what has to find them without compiling the model. -#}
{%- macro day_column(node) -%}
    {%- set column = (node.config.get('meta') or {}).get('day') -%}
    {%- if not column -%}
        {{ exceptions.raise_compiler_error(
            node.name ~ ' reads raw rows that may be pruned, and does not say which column holds the day of its own. '
            ~ 'Name it in its YAML: config: {meta: {day: ...}}.'
        ) }}
    {%- endif -%}
    {{ return(column) }}
{%- endmacro %}


{#- Pruning -#}

{#- run-operation: deletes raw rows and aggregates that are older than `vars: retention:` says. A dry run, which is the
    default, only says so, and why not. Without `sources` all that may be pruned; raw rows from another day on with
    `kept_from`. -#}
{%- macro prune(dry_run=true, sources=none, kept_from=none, reason=none) -%}
    {%- do tidemark.flag_argument('dry_run', dry_run) -%}
    {%- do tidemark.names_argument('sources', sources) -%}
    {%- set kept_from = tidemark.day_argument('kept_from', kept_from, is_optional=true) -%}
    {%- set reason = tidemark.text_argument('reason', reason, is_optional=true) -%}
    {%- do tidemark.create_ops_tables() -%}
    {%- do tidemark.refuse_earlier_clock() -%}
    {%- set limits, plans, obstacles = tidemark.retention_limits(kept_from), [], [] -%}
    {%- set found = tidemark.prunable_sources(sources) -%}
    {%- if not dry_run -%}
        {%- do tidemark.take_run_lock() -%}
    {%- endif -%}
    {%- if tidemark.unfinished_runs() -%}
        {%- do obstacles.append('A run is going on, or was killed: the next run that ends clears that.') -%}
    {%- endif -%}
    {%- for source in found -%}
        {%- set readers = tidemark.readers_of(source) -%}
        {#- a floor only rises: what lies below it is gone -#}
        {%- set floor = [limits.raw, tidemark.ledger_state().floors.get(source.name)] | select | max -%}
        {%- set in_the_way = tidemark.obstacles_to_pruning(source, readers, floor) -%}
        {%- do obstacles.extend(in_the_way) -%}
        {%- if not in_the_way -%}
            {%- do plans.append(tidemark.source_plan(source, readers, floor)) -%}
            {%- for node in readers -%}
                {%- do plans.append(tidemark.aggregates_plan(node, limits.aggregates)) -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set changes = plans | selectattr('changes') | list -%}
    {%- if obstacles and not dry_run -%}
        {%- do tidemark.release_run_lock() -%}
        {{ exceptions.raise_compiler_error(obstacles | join('\n') ~ '\nNothing was deleted.') }}
    {%- elif not dry_run -%}
        {%- if changes -%}
            {%- do tidemark.write_down(tidemark.prune_statements(changes, reason)) -%}
        {%- endif -%}
        {%- do tidemark.release_run_lock() -%}
    {%- endif -%}
    {%- for plan in plans -%}
        {%- do log(tidemark.plan_in_words(plan, dry_run), info=true) -%}
    {%- endfor -%}
    {%- for obstacle in obstacles -%}
        {%- do log('Not now: ' ~ obstacle, info=true) -%}
    {%- endfor -%}
    {%- if dry_run -%}
        {%- do log("Nothing was deleted. To do it: dbt run-operation prune --args '{dry_run: false}'", info=true) -%}
    {%- endif -%}
{%- endmacro %}

{#- From which day raw rows and aggregates are kept. -#}
{%- macro retention_limits(kept_from=none) -%}
    {%- set months, years = tidemark.setting('retention').raw_months, tidemark.setting('retention').aggregate_years -%}
    {%- set today = 'cast(' ~ tidemark.as_of() ~ ' as date)' -%}
    {%- set sql -%}
        select
            {{ tidemark.within_calendar('cast(' ~ dbt.dateadd('month', -months, today) ~ ' as date)') }},
            {{ tidemark.within_calendar('cast(' ~ dbt.dateadd('year', -years, today) ~ ' as date)') }}
    {%- endset -%}
    {%- set row = run_query(sql).rows[0] -%}
    {%- set raw = row[0] if kept_from is none else kept_from -%}
    {%- set why -%}
        {%- if raw > tidemark.as_of_value().date() -%}
            {{ raw }} lies after the clock, {{ tidemark.as_of_value() }}
        {%- elif raw <= row[1] -%}
            Raw rows would be kept from {{ raw }}, aggregates only from {{ row[1] }}: they must be kept longer, or their
            {#- #} raw rows bring them back
        {%- endif -%}
    {%- endset -%}
    {%- if why | trim -%}
        {{ exceptions.raise_compiler_error(why | trim ~ '. Nothing was deleted.') }}
    {%- endif -%}
    {{ return({'raw': raw, 'aggregates': row[1]}) }}
{%- endmacro %}

{%- macro prunable_sources(names) -%}
    {%- set prunable = tidemark.setting('pruned_sources') -%}
    {%- for name in names or [] if name not in prunable -%}
        {{ exceptions.raise_compiler_error(
            name ~ ' is not pruned. These may be: ' ~ prunable | sort | join(', ') ~ '. Nothing was deleted.'
        ) }}
    {%- endfor -%}
    {{ return(tidemark.raw_sources() | selectattr('name', 'in', prunable if names is none else names) | list) }}
{%- endmacro %}

{#- What is made of a raw table and stored. -#}
{%- macro readers_of(source) -%}
    {%- set stored = tidemark.nodes_reading(source) | rejectattr('config.materialized', 'equalto', 'view') -%}
    {{ return(stored | sort(attribute='name')) }}
{%- endmacro %}

{#- What must be done before the raw rows of a source may go: what is made of them must be final. -#}
{%- macro obstacles_to_pruning(source, readers, kept_from) -%}
    {%- set found = [] -%}
    {%- for node in readers -%}
        {%- set job = tidemark.ledger_state().jobs.get(node.name, {}) -%}
        {%- set floor = tidemark.day_plus(kept_from, tidemark.lookback_of(node)) -%}
        {%- set strategy = node.config.incremental_strategy if node.config.materialized == 'incremental' else none -%}
        {%- set relation = tidemark.relation_of(node) -%}
        {%- set why -%}
            {%- if strategy not in ('partitions', 'sessions') -%}
                it needs the whole history
            {%- elif not job.get('watermark') or load_relation(relation) is none -%}
                it was not built, or has to be rebuilt whole
            {%- elif job.is_reset -%}
                its watermark was set back
            {%- elif tidemark.reads_a_rebuilt_table(node) -%}
                what it reads was rebuilt whole
            {%- else -%}
                {{- tidemark.unfinished_business(source, node, job, floor) -}}
            {%- endif -%}
        {%- endset -%}
        {%- if why | trim -%}
            {%- do found.append(
                source.name ~ ' cannot be pruned before ' ~ kept_from ~ ': ' ~ node.name ~ ' is not final, '
                ~ why | trim ~ '.'
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{#- What the next run of a model would do to days below its floor, in words; nothing is empty text. -#}
{%- macro unfinished_business(source, node, job, floor) -%}
    {%- set words = [] -%}
    {%- set sql -%}
        select
            (
                select count(*) from {{ source.relation_name }}
                where
                    {{ tidemark.load_time(source) }} > {{ tidemark.timestamp_literal(job.watermark) }}
                    and {{ tidemark.load_time(source) }} <= {{ tidemark.as_of() }}
                    and {{ tidemark.is_event_earlier(source, floor) }}
            ) as unprocessed,
            {{ tidemark.overlap_rows(source, job.watermark) }} as overlap_rows,
            (
                select count(*) from {{ tidemark.ops_table('changed_keys') }}
                where
                    day < {{ tidemark.date_literal(floor) }}
                    and {{ tidemark.unread_changes(node.name, tidemark.session_tables(node)) }}
            ) as unread,
            (
                select count(*) from {{ tidemark.ops_table('partition_coverage') }}
                where
                    model_name = '{{ node.name }}'
                    and day < {{ tidemark.date_literal(floor) }}
                    and state <> 'ok'
                    and is_rebuildable
                    and not is_current
            ) as damaged
    {%- endset -%}
    {%- set row = run_query(sql).rows[0] -%}
    {%- set asked = tidemark.ledger_state().requests.get(node.name, []) -%}
    {%- set requests = asked | selectattr('day', 'lt', floor) | list | length -%}
    {%- if row[0] or tidemark.rows_behind(source, job, row[1] | int) > 0 -%}
        {%- do words.append('rows wait to be processed') -%}
    {%- endif -%}
    {%- if row[2] -%}
        {%- do words.append('changed sessions wait to be read') -%}
    {%- endif -%}
    {%- if row[3] -%}
        {%- do words.append(row[3] ~ ' damaged partitions wait to be repaired') -%}
    {%- endif -%}
    {%- if requests -%}
        {%- do words.append(requests ~ ' requested partitions wait to be recomputed') -%}
    {%- endif -%}
    {{ return(words | join(', ')) }}
{%- endmacro %}

{#- Only what all its readers have processed goes. -#}
{%- macro source_plan(source, readers, kept_from) -%}
    {%- set processed = [tidemark.as_of_value()] -%}
    {%- for node in readers -%}
        {%- do processed.append(tidemark.utc_moment(tidemark.ledger_state().jobs[node.name].watermark)) -%}
    {%- endfor -%}
    {%- set condition -%}
        {{ tidemark.is_event_earlier(source, kept_from) }}
        and {{ tidemark.load_time(source) }} <= {{ tidemark.timestamp_literal(processed | min) }}
    {%- endset -%}
    {{ return(tidemark.pruning_of(source.name, 'source', source.relation_name, kept_from, condition)) }}
{%- endmacro %}

{%- macro aggregates_plan(node, kept_from) -%}
    {%- set relation = tidemark.relation_of(node) -%}
    {%- set day = tidemark.day_column(node) -%}
    {%- set condition = tidemark.earlier_than(day, kept_from, node.columns[day].data_type) -%}
    {{ return(tidemark.pruning_of(node.name, 'model', relation, kept_from, condition)) }}
{%- endmacro %}

{#- A floor that is not yet known is a change even if no row goes: late rows must not come in below it. -#}
{%- macro pruning_of(subject, subject_type, relation, kept_from, condition) -%}
    {%- set rows = tidemark.count_of('(select count(*) from ' ~ relation ~ ' where ' ~ condition ~ ')') -%}
    {{ return({
        'subject': subject,
        'subject_type': subject_type,
        'relation': relation,
        'kept_from': kept_from,
        'condition': condition,
        'rows': rows,
        'changes': rows > 0 or (subject_type == 'source' and tidemark.ledger_state().floors.get(subject) != kept_from),
    }) }}
{%- endmacro %}

{%- macro prune_statements(plans, reason) -%}
    {%- set statements = [] -%}
    {%- for plan in plans if plan.rows -%}
        {%- do statements.append('delete from ' ~ plan.relation ~ ' where ' ~ plan.condition) -%}
    {%- endfor -%}
    {%- set floors -%}
    insert into {{ tidemark.ops_table('retention_floors') }}
    {%- for plan in plans %}
    select
        {{ tidemark.last_ledger_entry() }},
        {{ tidemark.text_literal(tidemark.run_id()) }},
        {{ tidemark.timestamp_literal(tidemark.wall_clock()) }},
        {{ tidemark.as_of() }},
        {{ tidemark.text_literal(plan.subject) }},
        {{ tidemark.text_literal(plan.subject_type) }},
        {{ tidemark.date_literal(plan.kept_from) }},
        {{ plan.rows }},
        {{ tidemark.message_literal(reason) }}
        {{- ' union all' if not loop.last }}
    {%- endfor %}
    {%- endset -%}
    {{ return(statements + [floors]) }}
{%- endmacro %}

{%- macro plan_in_words(plan, dry_run) -%}
    {%- set kept = plan.subject ~ ' is kept from ' ~ plan.kept_from ~ ' on: ' -%}
    {%- set rows = '{:,}'.format(plan.rows) ~ (' row' if plan.rows == 1 else ' rows') -%}
    {{ return(kept ~ rows ~ (' would go.' if dry_run else ' deleted.')) }}
{%- endmacro %}

{#- Tests that follow the change: in a build a test looks at the days that the build wrote. It is sound by induction:
    what the others hold was tested when it was written. So `ops.test_results` says of each test up to which entry of
    the ledger it has passed, and what it was then (its checksum). Where that does not reach, it looks at all. -#}

{#- Overrides dbt's: every generic test reads what it tests through here. -#}
{%- macro default__get_where_subquery(relation) -%}
    {%- set where, queries = config.get('where'), [] -%}
    {%- set looked_at = (tidemark.looked_at(relation) if tidemark.follows_now() else none) or [none] -%}
    {%- for condition in looked_at if where or condition -%}
        {%- set conditions = [where, condition] | select | join(') and (') -%}
        {%- do queries.append('select * from ' ~ relation ~ ' where (' ~ conditions ~ ')') -%}
    {%- endfor -%}
    {{ return('(' ~ queries | join(' union all ') ~ ') dbt_subquery' if queries else relation) }}
{%- endmacro %}

{#- Compile, docs and lint get the test itself, and ask nothing of the warehouse. -#}
{%- macro follows_now() -%}
    {{ return(execute and model.resource_type == 'test' and flags.WHICH in ('build', 'test')) }}
{%- endmacro %}

{#- The rows that a generic test looks at now, as conditions none of which takes a row that another takes; none where it
    looks at all. Beside an `or` Snowflake has no membership in a query. -#}
{%- macro looked_at(relation) -%}
    {%- set scope = tidemark.test_scope(model) -%}
    {%- if scope == 'sweep' and flags.WHICH == 'build' -%}
        {%- do tidemark.told_of_test(model).update({'is_whole': false, 'compares': false}) -%}
        {{ return(['false']) }}
    {%- endif -%}
    {%- set attached = graph.nodes.get(model.attached_node or '') -%}
    {%- set followed = tidemark.followed_tables(attached) if scope in ('rows', 'keys') else none -%}
    {%- set ranges = tidemark.ranges_to_test(followed.tables) if followed and followed.day else none -%}
    {%- if not ranges -%}
        {{ return(none if ranges is none else ['false']) }}
    {%- endif -%}
    {%- set ranges = tidemark.onwards(ranges) if followed.onwards else ranges -%}
    {#- no model should write a row without a day, and a wrong one is what tests are for -#}
    {%- set is_written = tidemark.within(followed.day, ranges) ~ ' or ' ~ followed.day ~ ' is null' -%}
    {%- set keys = tidemark.tested_keys(model) if scope == 'keys' else [] -%}
    {%- if scope == 'rows' or followed.day | lower in keys | map('lower') -%}
        {{ return([is_written]) }}
    {%- endif -%}
    {%- set key, where = keys | join(', '), config.get('where') or 'true' -%}
    {%- set written_keys = 'select ' ~ key ~ ' from ' ~ relation ~ ' where (' ~ where ~ ') and (' ~ is_written ~ ')' -%}
    {{ return(['(' ~ key ~ ') in (' ~ written_keys ~ ')', '(' ~ keys | join(') is null or (') ~ ') is null']) }}
{%- endmacro %}

{#- For a singular test: a condition on the days that the build wrote in these tables, or none in particular; with
    `onwards` also on all days after the first of them. What the test says of a day is decided by that day's rows of
    these tables, and by raw rows, which touch it there. It compares nothing while they are not known up to one
    clock. -#}
{%- macro written_days(day, tables, onwards=false) -%}
    {%- if not tidemark.follows_now() -%}
        {{ return('true') }}
    {%- endif -%}
    {%- do tidemark.told_of_test(model).update({'compares': tidemark.are_known_alike(tables)}) -%}
    {%- set ranges = tidemark.ranges_to_test(tables, trusts_others=true) -%}
    {{ return(tidemark.within(day, tidemark.onwards(ranges) if onwards and ranges else ranges)) }}
{%- endmacro %}

{%- macro are_known_alike(tables) -%}
    {%- set clocks, jobs = [], tidemark.ledger_state().jobs -%}
    {%- for name in tables -%}
        {%- set state = tidemark.written_state(tidemark.model_named(name).unique_id) or {} -%}
        {%- set is_known = state.mode in ('incremental', 'full') -%}
        {%- set known_before = jobs.get(name, {}).get('known_until') -%}
        {%- do clocks.append((tidemark.as_of_value() if is_known else known_before) | string) -%}
    {%- endfor -%}
    {{ return(clocks | unique | list | length <= 1) }}
{%- endmacro %}

{#- For a test of raw rows by their load time: those loaded since it last passed. What commits later than the overlap is
    left to `dbt test`. -#}
{%- macro loaded_since_passed() -%}
    {%- if not tidemark.follows_now() or not tidemark.has_passed_before(model, trusts_others=true) -%}
        {{ return('true') }}
    {%- endif -%}
    {%- do tidemark.told_of_test(model).update({'is_whole': false}) -%}
    {%- set since = tidemark.overlap_start(tidemark.ledger_state().tests[model.unique_id].as_of) -%}
    {{ return(tidemark.staged('loaded_at') ~ ' >= ' ~ tidemark.timestamp_literal(since)) }}
{%- endmacro %}

{#- The days to look at, as ranges: those that this command wrote in the tables that the test follows. None where it has
    to look at everything: where it has not passed since all that is below it was written, where one was written whole,
    or another table was written than these, unless the author of the test says that the others decide nothing. -#}
{%- macro ranges_to_test(tables, trusts_others=false) -%}
    {%- set spans = [] -%}
    {%- if tidemark.test_days() -%}
        {%- do spans.append((tidemark.day_plus(tidemark.as_of_value().date(), -tidemark.test_days()), none)) -%}
    {%- elif not tidemark.has_passed_before(model, trusts_others) -%}
        {{ return(none) }}
    {%- else -%}
        {%- for id in tidemark.lineage_of_test(model) if tidemark.written_state(id) -%}
            {%- set written = tidemark.written_spans(graph.nodes[id], tidemark.written_state(id)) -%}
            {%- set is_followed = graph.nodes[id].name in tables -%}
            {%- if is_followed and written is not none -%}
                {%- do spans.extend(written) -%}
            {%- elif is_followed or not trusts_others -%}
                {{ return(none) }}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {%- do tidemark.told_of_test(model).update({'is_whole': false}) -%}
    {{ return(tidemark.merged_spans(spans)) }}
{%- endmacro %}

{#- The state of the run that wrote a table in this command, if one did. -#}
{%- macro written_state(id) -%}
    {%- set is_table = id in graph.nodes and graph.nodes[id].config.materialized == 'incremental' -%}
    {{ return(graph.get('tidemark_states', {}).get(invocation_id ~ id) if is_table else none) }}
{%- endmacro %}

{%- macro onwards(ranges) -%}
    {%- set firsts = ranges | map(attribute=0) | list -%}
    {{ return([(none if none in firsts else firsts | min, none)]) }}
{%- endmacro %}

{#- `tidemark test --days N`. -#}
{%- macro test_days() -%}
    {{ return(var('test_days', 0) | int if flags.WHICH == 'test' else 0) }}
{%- endmacro %}

{#- Days that a model wrote in this command, as spans (first, last), the last none where there is none; none where they
    are not known. -#}
{%- macro written_spans(node, state) -%}
    {%- set strategy = node.config.incremental_strategy -%}
    {%- set is_known = state.mode in ('incremental', 'restate') and state.touched_days is defined -%}
    {%- if not is_known or (strategy == 'sessions' and (state.requests or state.window)) -%}
        {{ return(none) }}
    {%- elif strategy == 'sessions' -%}
        {{ return(state.reached_spans) }}
    {%- endif -%}
    {%- set spans = [] -%}
    {%- for day in state.touched_days | sort -%}
        {%- if strategy != 'replay' or loop.first -%}
            {%- do spans.append((day, none if strategy == 'replay' else day)) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(spans) }}
{%- endmacro %}

{#- What reaches on without an end is one range, which the others may begin before. -#}
{%- macro merged_spans(spans) -%}
    {%- set bounded, open = [], [] -%}
    {%- for first, last in spans -%}
        {%- do (open if last is none else bounded).append((first, last)) -%}
    {%- endfor -%}
    {%- set begin = open | map(attribute=0) | min if open else none -%}
    {{ return(tidemark.merged_ranges(bounded) + ([(tidemark.first_of(begin), none)] if open else [])) }}
{%- endmacro %}

{#- What is remembered of a test in this command. -#}
{%- macro told_of_test(test) -%}
    {%- set told = graph.setdefault('tidemark_tests' ~ invocation_id, {}) -%}
    {{ return(told.setdefault(test.unique_id, {'is_whole': true, 'compares': true})) }}
{%- endmacro %}

{#- on-run-end: which tests have passed, and up to where. A warning counts as passed: it has been told, and nobody waits
    for its remedy. What failed has passed nothing. -#}
{%- macro test_results_merge(results) -%}
    {%- set is_partial = invocation_args_dict.get('empty') or invocation_args_dict.get('sample') -%}
    {%- set rows = [] -%}
    {%- for result in results if result.node.resource_type == 'test' and result.status != 'skipped' -%}
        {%- set test = graph.nodes[result.node.unique_id] -%}
        {%- set attached = graph.nodes.get(test.attached_node or '', {}) -%}
        {%- set told = tidemark.told_of_test(test) -%}
        {%- do rows.append([
            tidemark.text_literal(test.unique_id) ~ ' as test_id',
            tidemark.text_literal(attached.name) ~ ' as model_name',
            tidemark.text_literal(tidemark.test_checksum(test) if told.compares else none) ~ ' as checksum',
            tidemark.text_literal(result.status | string) ~ ' as status',
            ('true' if told.is_whole else 'false') ~ ' as is_whole',
        ] | join(', ')) -%}
    {%- endfor -%}
    {%- if not rows or is_partial or tidemark.is_coverage() or tidemark.test_days() -%}
        {{ return([]) }}
    {%- endif -%}
    {%- set entry = tidemark.last_ledger_entry() -%}
    {%- if flags.WHICH == 'test' -%}
        {%- set entry = tidemark.ledger_state().jobs.values() | map(attribute='written_entry') | max | default(0) -%}
    {%- endif -%}
    {%- set tested_at = tidemark.timestamp_literal(tidemark.wall_clock()) -%}
    {%- set merge -%}
        merge into {{ tidemark.ops_table('test_results') }} as known
        using (
            select
                results.*,
                {{ entry }} as ledger_entry
            from (
                select {{ rows | join('
                union all select ') }}
            ) as results
        ) as told
            on known.test_id = told.test_id
        when matched then update set
            model_name = told.model_name,
            ledger_entry = told.ledger_entry,
            checksum = told.checksum,
            status = told.status,
            run_id = {{ tidemark.text_literal(tidemark.run_id()) }},
            as_of = {{ tidemark.as_of() }},
            tested_at = {{ tested_at }},
            whole_as_of = case when told.is_whole then {{ tidemark.as_of() }} else known.whole_as_of end
        when not matched then insert (
            test_id, model_name, ledger_entry, checksum, status, run_id, as_of, tested_at, whole_as_of
        ) values (
            told.test_id, told.model_name, told.ledger_entry, told.checksum, told.status,
            {{ tidemark.text_literal(tidemark.run_id()) }}, {{ tidemark.as_of() }}, {{ tested_at }},
            case when told.is_whole then {{ tidemark.as_of() }} end
        )
    {%- endset -%}
    {{ return([merge]) }}
{%- endmacro %}

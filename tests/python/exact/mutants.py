"""Planted faults, each a small patch that somebody could have written in good faith."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from .histories import SUBJECTS
from .history import History
from .project import ROOT, Project
from .replay import DifferenceError, replay
from .rounds import drawn, subject_of
from .variants import with_changes_of_code

# Histories that a fault may survive; most are found in the first one or two.
PATIENCE = 24

DBT_FILES = (
    *("dbt_project.yml", "profiles.yml", "packages.yml", ".dbtignore", "dbt_packages"),
    *("macros", "models", "packages", "seeds", "snapshots", "tests", "docs"),
)

CODE = "packages/tidemark/macros/code/"
DAYS = "packages/tidemark/macros/changes/days.sql"
LEDGER = "packages/tidemark/macros/ledger/ledger.sql"
PARTITIONS = "packages/tidemark/macros/changes/partitions.sql"
REPLAY = "packages/tidemark/macros/changes/replay.sql"
REQUESTS = "packages/tidemark/macros/changes/requests.sql"
RUNS = "packages/tidemark/macros/ledger/runs.sql"
SESSIONS = "packages/tidemark/macros/changes/sessions.sql"
VERSIONS = "packages/tidemark/macros/changes/versions.sql"
STRATEGIES = "packages/tidemark/macros/strategies.sql"
USAGE = "models/intermediate/company/company_daily_usage.sql"
FACTS = "models/marts/company/fact_events_daily.sql"
CUSTOMERS = "models/intermediate/consumers/customer_states.sql"
MASTERY = "models/marts/learning/mastery_deltas.sql"
WEB_SESSIONS = "models/marts/web/web_sessions.sql"
WEB_TEAMS = "models/marts/web/dim_web_teams.sql"
WEB_STATS = "models/marts/web/web_pre_aggregated_stats.sql"


@dataclass(frozen=True)
class Patch:
    """Sound text of a file becomes faulty text."""

    file: str
    sound: str
    faulty: str

    def applied(self, text: str) -> str:
        """The faulty file. A patch that fits no more, or twice, is an error itself."""
        if text.count(self.sound) != 1:
            times = text.count(self.sound)
            raise LookupError(f"{self.file} holds this {times} times, not once:\n{self.sound}")
        return text.replace(self.sound, self.faulty)


class Mutant:
    """A fault in one of the domains, which may need a certain step to show itself."""

    def __init__(
        self,
        name: str,
        *patches: Patch,
        domain: str = "company",
        needs: str | None = None,
        changes_code: bool = False,
    ):
        self.name = name
        # whether its histories run other code in between, and what is written at their end
        self.changes_code = changes_code
        self.patches = patches
        self.needs = needs
        self.domains = next(domains for domains in SUBJECTS if domain in domains)


@dataclass(frozen=True)
class Hunt:
    """After how many histories a fault was found, if it was, and by what difference."""

    examples: int
    difference: str | None = None


def hunt(mutant: Mutant, patience: int = PATIENCE) -> Hunt:
    """Play histories against a faulty copy of the project until a mart differs."""
    with tempfile.TemporaryDirectory(prefix="tidemark-mutant-") as folder:
        root = Path(folder) / "project"
        # dbt_packages leads to the engine, which the patch is to change, by a link
        shutil.copytree(ROOT, root, ignore=_not_dbt, symlinks=True)
        for patch in mutant.patches:
            file = root / patch.file
            file.write_text(patch.applied(file.read_text()))
        project = Project(mutant.domains, Path(folder) / "target", root, audits=False)
        for number, history in enumerate(_histories(mutant, patience), start=1):
            try:
                # the definitions find it; a full refresh would only cost time
                replay(history, project, Path(folder) / str(number), full_refresh=False)
            except DifferenceError as difference:
                return Hunt(number, str(difference))
    return Hunt(patience)


def _histories(mutant: Mutant, patience: int) -> Iterator[History]:
    """Histories of the differential test, those that cannot show the fault left out.

    dbt's own tests stay out as well: it is the comparison that has to find the fault.
    """
    found, round_number = 0, 0
    while found < patience:
        is_about_it = subject_of(round_number) == mutant.domains
        for position, history in enumerate(drawn(round_number) if is_about_it else ()):
            if mutant.changes_code:
                history = with_changes_of_code(history, round_number, position, share=1)
                if history.steps[-1].code or not history.changes_code:
                    continue
            actions = {step.action for step in history.steps}
            fits = mutant.needs is None or mutant.needs in actions
            if found < patience and fits:
                found += 1
                steps = (
                    replace(step, action=step.action.removesuffix(" and test"))
                    for step in history.steps
                )
                yield History(history.domains, list(steps), history.rows)
        round_number += 1


def _not_dbt(folder: str, names: list[str]) -> list[str]:
    """What a copy of the project can do without."""
    if Path(folder) != ROOT:
        return []
    return [name for name in names if name not in DBT_FILES]


MUTANTS = [
    Mutant(
        "aggregates only the new rows",
        Patch(
            PARTITIONS,
            "    {{ tidemark.valid_and_visible() }}\n"
            "    and {{ tidemark.within(tidemark.staged('occurred_at'), ranges) }}\n"
            "    and ({{ ent",
            "    {{ tidemark.newly_loaded() }}\n"
            "    and {{ tidemark.within(tidemark.staged('occurred_at'), ranges) }}\n"
            "    and ({{ ent",
        ),
    ),
    Mutant(
        "exclusive lower bound",
        Patch(
            VERSIONS,
            "{{ tidemark.staged('loaded_at') }} >= {{ tidemark.timestamp_literal(state.since) }}",
            "{{ tidemark.staged('loaded_at') }} > {{ tidemark.timestamp_literal(state.since) }}",
        ),
    ),
    Mutant(
        "no overlap with the previous watermark",
        Patch(
            RUNS,
            "{{ return(tidemark.shifted(tidemark.utc_moment(watermark), -overlap)) }}",
            "{{ return(tidemark.utc_moment(watermark)) }}",
        ),
    ),
    Mutant(
        "deletes by the keys of the new rows",
        Patch(
            STRATEGIES,
            "using {{ tidemark.touched_table() }} touched\n"
            "        where stored.{{ state.entity }} = touched.{{ state.entity }} "
            "and {{ tidemark.is_replaced() }}",
            "using {{ args.temp_relation }} fresh\n        where stored.{{ state.entity }} = "
            "fresh.{{ state.entity }} and stored.{{ state.day }} = fresh.{{ state.day }}",
        ),
    ),
    Mutant(
        "deduplicates before judging validity",
        Patch(
            FACTS,
            "day='activity_date') }}",
            "day='activity_date') | replace('quarantine_reason is null and ', '') }}",
        ),
        Patch(FACTS, "where not is_deleted", "where not is_deleted and quarantine_reason is null"),
    ),
    Mutant(
        "takes deleted versions away before choosing the latest",
        Patch(FACTS, "    qualify", "    and not is_deleted\n    qualify"),
    ),
    Mutant(
        "no order between versions of one load time",
        Patch(
            VERSIONS, "{%- for tie in version.ties %}, {{ tie }} desc nulls last{% endfor %}", ""
        ),
    ),
    Mutant(
        "an equal load time prefers what is not deleted",
        Patch(
            "dbt_project.yml",
            "ties: [is_deleted, occurred_at, events]",
            "ties: [occurred_at, events, is_deleted]",
        ),
    ),
    Mutant(
        "visibility in a staging view",
        Patch(
            "models/staging/stg_engagement_events.sql",
            "    from source\n",
            "    from source\n    where updated_at <= {{ tidemark.as_of() }}\n",
        ),
    ),
    Mutant(
        "watermark by max()",
        Patch(
            LEDGER,
            "qualify row_number() over (partition by runs.job_name order by runs.ledger_entry "
            "desc) = 1",
            "qualify row_number() over (partition by runs.job_name order by "
            "runs.last_processed_timestamp desc) = 1",
        ),
        needs="reset",
    ),
    Mutant(
        "a restatement moves the watermark",
        Patch(
            RUNS, "none if is_partial or state.mode == 'restate' else", "none if is_partial else"
        ),
        Patch(
            RUNS,
            "'job_type': 'restatement' if state.mode == 'restate' and not is_partial else 'model',",
            "'job_type': 'model',",
        ),
        needs="restate",
    ),
    Mutant(
        "a restatement spares what is stored and has no rows",
        Patch(
            PARTITIONS,
            "where {{ tidemark.within(day, [(state.window[0], "
            "tidemark.day_plus(state.window[1], reach))]) }}",
            "where false",
        ),
        needs="restate",
    ),
    Mutant(
        "requests are not read",
        Patch(
            REQUESTS,
            "{%- if is_incremental() and tidemark.run_state().requests %}",
            "{%- if false %}",
        ),
        needs="request",
    ),
    Mutant(
        "rows instead of calendar days",
        Patch(
            USAGE,
            "sum(events) over (\n            partition by company_id order by",
            "sum(events) over (\n            partition by company_id, is_reported order by",
        ),
    ),
    Mutant(
        "an outage counts as zero",
        Patch(
            USAGE,
            "coalesce(usage_days.events, case when calendar.is_reported then 0 end)",
            "coalesce(usage_days.events, 0)",
        ),
    ),
    Mutant(
        "an outage is churn",
        Patch(
            USAGE,
            "            when churn_window_days_reported = {{ churn_window_days }} then true\n",
            "            else true\n",
        ),
    ),
    Mutant(
        "a null-unsafe delete",
        Patch(
            STRATEGIES,
            "and {{ tidemark.is_replaced() }}",
            "and {{ tidemark.is_replaced() }}{% if model.name == 'feature_engagement_daily' %} and "
            "stored.feature_used = stored.feature_used{% endif %}",
        ),
    ),
    Mutant(
        "a late answer touches nobody",
        Patch(
            USAGE,
            "        stored.is_reported <> coalesce(calendar.is_reported, false)\n        or ",
            "        false and ",
        ),
    ),
    Mutant(
        "a late answer counts only in the companies that it finds",
        Patch(USAGE, "or stored.days_reported_7d <> coalesce(calendar.days_reported_7d, 0)", ""),
        Patch(
            USAGE,
            "or stored.churn_window_days_reported "
            "<> coalesce(calendar.churn_window_days_reported, 0)",
            "",
        ),
    ),
    Mutant(
        "a first day never moves",
        Patch(
            REPLAY,
            "        lifespans.first_day is distinct from stored.first_day\n        or ",
            "        ",
        ),
    ),
    Mutant(
        "a window that forgets the days before the replay",
        Patch(USAGE, "replayed_rows('company_id', lookback_days=6)", "replayed_rows('company_id')"),
    ),
    Mutant(
        "a replay that forgets when somebody was last active",
        Patch(USAGE, "else last_active_before.active_on", "else null"),
    ),
    Mutant(
        "an event touches its own day only, not the windows that it lies in",
        Patch(
            PARTITIONS,
            "        cross join {{ tidemark.numbers_to(lookback_days) }}\n        {{- tidemark.req",
            "        cross join {{ tidemark.numbers_to(0) }}\n        {{- tidemark.req",
        ),
    ),
    Mutant(
        "merged ranges lose their last day",
        Patch(
            DAYS,
            "{%- do ranges.append((begin, tidemark.end_of(reach.last))) -%}",
            "{%- do ranges.append("
            "(begin, reach.last if goes_on else tidemark.end_of(reach.last))) -%}",
        ),
    ),
    Mutant(
        "ranges of sessions end with the first of them",
        Patch(
            DAYS,
            "{%- do ranges.append((begin, tidemark.end_of(reach.last))) -%}",
            "{%- do ranges.append((begin, tidemark.end_of(first))) -%}",
        ),
        domain="web",
    ),
    Mutant(
        "a status that survives a deletion",
        Patch(
            CUSTOMERS,
            "max(status) over (partition by consumer_id, customer_id, period, status_period)",
            "max(status) over (partition by consumer_id, customer_id, status_period)",
        ),
        domain="consumers",
    ),
    Mutant(
        "a second creation changes nothing",
        Patch(
            CUSTOMERS,
            "max(case when event_type = 'customer_creation' then occurred_at end) over (",
            "min(case when event_type = 'customer_creation' then occurred_at end) over (",
        ),
        Patch(
            CUSTOMERS,
            "count(case when event_type <> 'customer_update' then 1 end) over (",
            "count(case when event_type = 'customer_deletion' then 1 end) over (",
        ),
        domain="consumers",
    ),
    Mutant(
        "customers of the days before the replay are forgotten",
        Patch(CUSTOMERS, "        and stored.is_existing", "        and false"),
        domain="consumers",
    ),
    Mutant(
        "events of one moment in the order of their ids",
        Patch(
            CUSTOMERS, "order by occurred_at, loaded_at, event_id", "order by occurred_at, event_id"
        ),
        domain="consumers",
    ),
    Mutant(
        "a late attempt leaves the deltas after its day",
        Patch(
            MASTERY,
            "events.activity_date >= touched.replay_from",
            "events.activity_date = touched.replay_from",
        ),
        Patch(
            STRATEGIES,
            "day ~ ' >= touched.replay_from and '",
            "day ~ (' = ' if model.name == 'mastery_deltas' else ' >= ')"
            " ~ 'touched.replay_from and '",
        ),
        domain="learning",
    ),
    Mutant(
        "an attempt that is none any more stays",
        Patch(
            MASTERY,
            "    where {{ tidemark.replayed_rows('learner_id') }}",
            "    where {{ tidemark.replayed_rows('learner_id') }} and is_attempt",
        ),
        domain="learning",
    ),
    Mutant(
        "what takes the place of an attempt touches nothing",
        Patch(
            MASTERY,
            "{% if is_incremental() %}\n\n    union all",
            "{% if false %}\n\n    union all",
        ),
        domain="learning",
    ),
    Mutant(
        "an event stays in the session that it left",
        Patch(
            SESSIONS,
            "    and ({{ identity }}) in "
            "(select {{ identity }} from {{ tidemark.in_temporary_table('versions', versions) }})",
            "    and {{ tidemark.is_touched_session(entity, session) }}",
        ),
        domain="web",
    ),
    Mutant(
        "the session that an event left is not touched",
        Patch(
            SESSIONS,
            "and ({{ identity }}) in (select {{ identity }} from {{ loaded }})",
            "and {{ tidemark.newly_loaded() }}",
        ),
        domain="web",
    ),
    Mutant(
        "a session is read on the days of its new events",
        Patch(
            SESSIONS,
            "cast(stored.{{ first }} as date) as first_day,\n"
            "            cast(stored.{{ last }} as date) as last_day",
            "cast(null as date) as first_day,\n            cast(null as date) as last_day",
        ),
        domain="web",
    ),
    Mutant(
        "a session stays in its old hour, too",
        Patch(STRATEGIES, "        where touched_day is not null", "        where false"),
        domain="web",
    ),
    Mutant(
        "changed keys of a missed turn are lost",
        Patch(
            LEDGER,
            "        ledger_entry > {{ job.read_entry }}\n        {%- if job.is_reset %}",
            "        run_id = '{{ invocation_id }}'\n        {%- if job.is_reset %}",
        ),
        domain="web",
    ),
    Mutant(
        "a disabled team stays",
        Patch(
            WEB_TEAMS,
            "where {{ tidemark.valid_and_visible() }}",
            "where {{ tidemark.valid_and_visible() }} and is_enabled",
        ),
        domain="web",
    ),
    Mutant(
        "a team that is enabled shows its new hours only",
        Patch(
            WEB_STATS,
            "where teams.is_enabled",
            "where teams.is_enabled and stats.period_bucket >= teams.enabled_at",
        ),
        domain="web",
    ),
    Mutant(
        "a bounce in whole seconds",
        Patch(
            WEB_SESSIONS,
            "'millisecond') }}\n        < {{ rule('bounce_seconds') * 1000 }}",
            "'second') }}\n        < {{ rule('bounce_seconds') }}",
        ),
        domain="web",
    ),
    Mutant(
        "increments go on with other code",
        Patch(
            CODE + "policy.sql",
            "tidemark.on_code_change(node) == 'rebuild' and tidemark.has_other_code(node)",
            "false",
        ),
        changes_code=True,
    ),
    Mutant(
        "an increment stores the fingerprint of code that is not the table's",
        Patch(CODE + "policy.sql", "if is_made_whole or is_taken_over -", "if true -"),
        changes_code=True,
    ),
    Mutant(
        "a fingerprint without the views above",
        Patch(
            CODE + "fingerprint.sql",
            "tidemark.is_recorded(node) and node.config.materialized != 'view'",
            "node.resource_type == 'model'",
        ),
        changes_code=True,
    ),
    Mutant(
        "a fingerprint without macros and settings",
        Patch(
            CODE + "fingerprint.sql",
            "tidemark.rendered_in_full(node, tidemark.full_state(fixed, is_fixed=true))",
            "node.raw_code",
        ),
        domain="web",
        changes_code=True,
    ),
]

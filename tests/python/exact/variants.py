"""Other code: rules that somebody changes between two runs, and takes back.

Which code a step runs is drawn apart from the rows: a draw more would make other histories of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from .history import History, Step

MODEL, MACRO = "model.tidemark_marts.", "macro.tidemark_marts."

# Of all histories; in the others code stays, and every step is compared with the definitions.
SHARE = 0.5


@dataclass(frozen=True)
class Variant:
    """Text of a model or macro becomes other text, or vars have other values."""

    name: str
    domain: str
    unique_id: str = ""
    written: str = ""
    instead: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)


VARIANTS = (
    Variant("churn window", "company", variables={"churn_window_days": 3}),
    Variant("bad row", "company", MODEL + "stg_fact_events", "when events < 0", "when events < 2"),
    Variant("active day", "company", MACRO + "is_active_day", "' >= '", "' > 1 + '"),
    Variant("count", "company", MODEL + "fact_events_daily", "sum(events)", "sum(events) * 2"),
    Variant(
        "staging rule",
        "engagement",
        MODEL + "stg_engagement_events",
        "        interaction_count,\n",
        "        interaction_count + 1 as interaction_count,\n",
    ),
    Variant(
        "day rule",
        "engagement",
        MODEL + "stg_engagement_events",
        "when duration_minutes < 0",
        "when duration_minutes < 5",
    ),
    Variant("bounce rule", "web", variables={"bounce_views": 3, "bounce_seconds": 60}),
    Variant(
        "views",
        "web",
        MODEL + "web_sessions",
        "event in ('$pageview', '$screen')",
        "event in ('$pageview')",
    ),
    Variant(
        "bad visit",
        "web",
        MODEL + "stg_web_events",
        "when team_id is null then",
        "when event = '$autocapture' then 'not wanted'\n            when team_id is null then",
    ),
    Variant(
        "score",
        "learning",
        MODEL + "stg_learner_events",
        "when not {{ tidemark.is_json('data') }}",
        "when page_id = 'page 1' then 'x'\n            when not {{ tidemark.is_json('data') }}",
    ),
    Variant(
        "mastery",
        "learning",
        MODEL + "mastery_deltas",
        "'coalesce(nullif(events.max_score, 0), 100)'",
        "'2 * coalesce(nullif(events.max_score, 0), 100)'",
    ),
    Variant(
        "session",
        "learning",
        MODEL + "session_metrics",
        "count(distinct page_id)",
        "1 + count(distinct page_id)",
    ),
)
# A step in which increments go on, whatever made the tables.
KEEP = Variant("keep", "", variables={"on_code_change": "keep"})
BY_NAME = {variant.name: variant for variant in (*VARIANTS, KEEP)}


def with_changes_of_code(
    history: History, number: int, position: int, share: float = SHARE
) -> History:
    """The history, some of whose steps run other code, if it is one of the share of those that do.

    Its place in a round decides. The last step never keeps what other code has made.
    """
    drawn = random.Random(f"{number} {position}")
    if drawn.random() >= share:
        return history
    names = [variant.name for variant in VARIANTS if variant.domain in history.domains]
    steps: list[Step] = []
    for step in history.steps:
        code = sorted(drawn.sample(names, drawn.choice([0, 0, 1, 2])))
        # more often what is written, after other code: what that made must not be taken for it
        keeps = drawn.random() < (0.3 if code else 0.6) and step is not history.steps[-1]
        steps.append(replace(step, code=(*code, *[KEEP.name] * keeps)))
    return History(history.domains, steps, history.rows)


@contextmanager
def running(manifest: Any, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The parsed project with variants in the place of what is written; gives their vars."""
    kept: list[tuple[Any, str, str]] = []
    variables: dict[str, Any] = {}
    try:
        for name in names:
            variant = BY_NAME[name]
            variables.update(variant.variables)
            if not variant.unique_id:
                continue
            is_model = variant.unique_id.startswith(MODEL)
            node = (manifest.nodes if is_model else manifest.macros)[variant.unique_id]
            attribute = "raw_code" if is_model else "macro_sql"
            text: str = getattr(node, attribute)
            assert text.count(variant.written) == 1, f"{name}: {variant.written!r} is not there"
            kept.append((node, attribute, text))
            setattr(node, attribute, text.replace(variant.written, variant.instead))
        # what macros see of the project
        if kept:
            manifest.build_flat_graph()
        yield variables
    finally:
        for node, attribute, text in reversed(kept):
            setattr(node, attribute, text)
        if kept:
            manifest.build_flat_graph()

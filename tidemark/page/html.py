"""The page itself: a template that escapes everything, and what its script draws of."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tidemark.clock import show_time
from tidemark.lineage import Lineage
from tidemark.page.charts import charts_of, words
from tidemark.page.panels import Job, Panel, Report, known_until

_HERE = Path(__file__).parent
# What the page needs of Vega; nothing else becomes global.
_SNIPPET = "window.vegaEmbed = vegaEmbed;"
# JSON within a script element: nothing in it may end the element, or begin a comment.
_NEVER_IN_SCRIPTS = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


@dataclass(frozen=True)
class Part:
    """A heading of the page with its panels, and how up to date they are."""

    title: str
    anchor: str
    panels: list[Panel]
    # Of the tables that are shown, the one that is behind most.
    behind: Job | None
    is_late: bool


def html_of(report: Report, lineage: Lineage) -> str:
    """The page as one text."""
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["time"] = show_time
    scripts = [_of_vega(), (_HERE / "page.js").read_text(encoding="utf-8")]
    return environment.get_template("page.html").render(
        report=report,
        groups=_groups(report, lineage),
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        scripts=scripts,
        hashes=" ".join(f"'sha256-{_hash(script)}'" for script in scripts),
        data=as_script({"panels": [_data(panel) for panel in report.panels if panel.rows]}),
        iso=lambda moment: f"{moment.isoformat(timespec='seconds')}Z" if moment else "",
    )


def as_script(value: Any) -> str:
    """JSON that a script element may hold, whatever is in it.

    >>> as_script("</script>")
    '"\\\\u003c/script\\\\u003e"'
    """
    text = json.dumps(value, separators=(",", ":"))
    for character, escaped in _NEVER_IN_SCRIPTS.items():
        text = text.replace(character, escaped)
    return text


def _groups(report: Report, lineage: Lineage) -> list[tuple[str, list[Part]]]:
    """The project's own panels first, then the engine's."""
    titles = {False: "The business", True: "The pipeline"}
    return [
        (titles[is_engines], list(_parts(report, list(panels), lineage)))
        for is_engines, panels in groupby(report.panels, key=lambda panel: panel.is_engines)
    ]


def _parts(report: Report, panels: Sequence[Panel], lineage: Lineage) -> Iterator[Part]:
    for title in dict.fromkeys(panel.part for panel in panels):
        here = [panel for panel in panels if panel.part == title]
        jobs = known_until(report, here, lineage)
        behind = jobs[0] if jobs else None
        yield Part(
            title=title,
            anchor="-".join(title.lower().split()),
            panels=here,
            behind=behind,
            is_late=_is_late(behind, report.as_of),
        )


def _is_late(job: Job | None, clock: datetime) -> bool:
    return job is not None and job.known_until is not None and job.known_until < clock


def _data(panel: Panel) -> dict[str, Any]:
    """What the page's script draws a panel of: columns and rows, and the charts' specifications."""
    meta = panel.meta
    columns = [
        {
            "name": name,
            "label": words(name, meta),
            "format": str(meta.get("formats", {}).get(name, _format_of(panel, name))),
            "unit": meta.get("units", {}).get(name),
        }
        for name in panel.rows[0]
    ]
    return {
        "name": panel.name,
        "columns": columns,
        "rows": [list(row.values()) for row in panel.rows],
        "tones": meta.get("tones", {}),
        "legend": meta.get("legend", {}),
        "filter": meta.get("filter"),
        "charts": [
            {"label": chart.label, "legend": list(chart.legend.items()), "spec": chart.spec}
            for chart in charts_of(panel)
        ],
    }


def _format_of(panel: Panel, name: str) -> str:
    """How a column is shown where the meta does not say: by what is in it."""
    values = [row[name] for row in panel.rows if row[name] is not None]
    if values and all(isinstance(value, int | float) for value in values):
        return "number"
    return "time" if values and all(_is_time(value) for value in values) else "text"


def _is_time(value: Any) -> bool:
    try:
        datetime.fromisoformat(str(value))
    except ValueError:
        return False
    return len(str(value)) >= len("2025-10-15") and str(value)[4] == "-"


@cache
def _of_vega() -> str:
    bundle: str = vl_convert.javascript_bundle(_SNIPPET)
    return bundle.replace("</script", "<\\/script")


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

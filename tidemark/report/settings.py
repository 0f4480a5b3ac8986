"""The settings, and where each was said."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.markup import escape

from tidemark.report.tables import table
from tidemark.settings import TARGET, Settings

_DEFAULT = "the default"


def show_settings(out: Console, settings: Settings) -> None:
    """One line for each; what is not the default comes first."""
    rows = settings_as_json(settings)["settings"]
    grid = table("setting", "value", "said by", whole=("setting",))
    for row in sorted(rows, key=lambda row: (row["said_by"] == _DEFAULT, row["setting"])):
        grid.add_row(row["setting"], escape(json.dumps(row["value"])), row["said_by"])
    out.print(grid)


def settings_as_json(settings: Settings) -> dict[str, Any]:
    """The same as JSON values."""
    values = {TARGET: settings.target, **settings.defaults, **settings.variables}
    return {
        "settings": [
            {"setting": name, "value": value, "said_by": settings.origins.get(name, _DEFAULT)}
            for name, value in values.items()
        ]
    }

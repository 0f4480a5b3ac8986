"""Which file a path means: in a setting the same from every folder, as an option as in a shell."""

from __future__ import annotations

from pathlib import Path


def of_setting(path: str, project_dir: Path) -> str:
    """A path that a setting holds: meant from the project's folder. A URL names its own place.

    Settings are environment variables and vars; `profiles.yml` does the same with its own. Options
    and arguments are meant from where the command is called.

    >>> of_setting("exports/crm", Path("/project"))
    '/project/exports/crm'
    """
    return path.rstrip("/") if "://" in path else str(project_dir / path)

"""The command line: one app of all commands, and the console script."""

from __future__ import annotations

import typer

from tidemark import interrupts
from tidemark.commands import (
    demo,
    ingest,
    ingest_events,
    init,
    load,
    look,
    plan,
    publish,
    repair,
    report,
    run,
    serve,
    settings,
    steer,
)

app = typer.Typer(
    help="Build what has new, fresh input; skip the rest; say why.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 blocked by stale sources;"
    " `status --exit-code` also 4 warning, 5 critical; `plan` 6 when code changed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
ingest.ingest.add_typer(ingest_events.app)
# In this order the help lists them.
for group in (
    *(run, plan, ingest, load, look, report, publish, serve),
    *(repair, demo, steer, settings, init),
):
    app.add_typer(group.app)


def main() -> None:
    """The console script."""
    interrupts.listen()
    app()

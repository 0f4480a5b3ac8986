"""The figures for a monitoring system: in a file, or over HTTP."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from tidemark import logs
from tidemark.commands.options import AsOf, Json, Log, ProjectDir, Target, Vars
from tidemark.commands.session import begin, explained, leave
from tidemark.exits import Exit
from tidemark.logs import LogFormat

app = typer.Typer()


@app.command(epilog="Example: tidemark metrics --textfile /var/lib/node_exporter/tidemark.prom")
def metrics(
    target: Target = None,
    as_of: AsOf = None,
    json_: Json = False,
    vars_: Vars = None,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
    textfile: Annotated[
        Path | None,
        typer.Option(
            "--textfile",
            dir_okay=False,
            help="Write them here, whole or not at all; without it they go to standard output.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Look as `status` does, and tell the figures as Prometheus reads them."""
    dbt = begin("metrics", log_format, project_dir, target, vars_, only_looks=True)
    from tidemark.health import look
    from tidemark.metrics import text, write

    with explained("metrics", json_, "Nothing was written."), logs.progress(dbt, "Looking"):
        health = look(dbt, as_of)
    if textfile:
        try:
            write(health, textfile)
        except OSError as error:
            raise typer.BadParameter(
                f"{textfile} cannot be written: {error.strerror}", param_hint="--textfile"
            ) from None
    elif not json_:
        typer.echo(text(health), nl=False)
    told = {"textfile": str(textfile) if textfile else None, "level": health.level.word}
    leave("metrics", json_, Exit.DONE, {"as_of": health.as_of.isoformat(), **told})


@app.command(epilog="Example: tidemark serve --target duckdb --port 8321")
def serve(
    target: Target = None,
    json_: Json = False,
    vars_: Vars = None,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
    host: Annotated[
        str, typer.Option("--host", help="Where to listen; 0.0.0.0 is everywhere.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 8321,
    interval: Annotated[
        float,
        typer.Option(
            "--interval",
            min=1,
            max=86_400,
            metavar="SECONDS",
            help="How long until the figures are read again.",
        ),
    ] = 30,
) -> None:
    """Serve the report at /, and /health and /metrics, until it is stopped: what was last seen.

    It reads that in the background, the report only for who asks for it. While a run
    holds the database file, it serves what it has, and says so.
    """
    dbt = begin("serve", log_format, project_dir, target, vars_, only_looks=True)
    import signal

    from tidemark.metrics import Monitor, server

    # A busy database is not waited for, and the parsed project of other commands stays theirs.
    os.environ["TIDEMARK_CONNECT_ATTEMPTS"] = "1"
    dbt.target_path = Path(os.environ.get("DBT_TARGET_PATH", "target")) / "serve"
    monitor = Monitor(dbt, interval)
    try:
        serving = server(monitor, host, port)
    except ValueError as error:
        typer.echo(f"{error} Choose another --host or --port. Nothing was started.", err=True)
        raise typer.Exit(Exit.FAILED) from None
    url = f"http://{host}:{serving.server_port}"
    if json_:
        typer.echo(json.dumps({"command": "serve", "url": url}))
    else:
        typer.echo(f"Serving {url}/ (the report), {url}/health and {url}/metrics; Ctrl-C ends it.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    monitor.start()
    try:
        serving.serve_forever()
    except KeyboardInterrupt:
        logs.tell(logging.INFO, "serve ends")
    finally:
        monitor.stop()
        serving.server_close()

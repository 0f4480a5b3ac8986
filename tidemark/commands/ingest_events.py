"""The event stream into the landing area, until it is stopped or drained."""

from __future__ import annotations

import logging
import os
from typing import Annotated

import typer

from tidemark import interrupts, logs
from tidemark.commands.ingest import begin, ended
from tidemark.commands.options import Json, LandingRoot, Log, ProjectDir
from tidemark.commands.session import explained, leave
from tidemark.exits import Exit
from tidemark.logs import LogFormat

app = typer.Typer()


@app.command("events", epilog="Example: tidemark ingest events --until-drained")
def events(
    until_drained: Annotated[
        bool,
        typer.Option(
            "--until-drained", help="Stop when everything is read that the topic holds by now."
        ),
    ] = False,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            "--metrics-port",
            min=0,
            max=65535,
            help="Serve /metrics for Prometheus on this port; 0 takes a free one.",
            show_default=False,
        ),
    ] = None,
    metrics_host: Annotated[
        str, typer.Option("--metrics-host", help="Where to serve them; 0.0.0.0 is everywhere.")
    ] = "127.0.0.1",
    landing: LandingRoot = None,
    json_: Json = False,
    project_dir: ProjectDir = None,
    log_format: Log = LogFormat.TEXT,
) -> None:
    """Read the event stream (Kafka, Redpanda) and land its messages, each at least once.

    It runs until Ctrl-C or SIGTERM, lands what it has read, and ends. Where the stream is say
    KAFKA_BOOTSTRAP_SERVERS and KAFKA_TOPIC_EVENTS_RAW.
    """
    area = begin("ingest events", log_format, landing, project_dir)
    with explained("ingest events", json_, "Nothing was read."), ended(area, "events"):
        from tidemark.ingest.events import Job
        from tidemark.ingest.events_settings import Settings
        from tidemark.ingest.exposure import exposed

        settings = Settings.of(os.environ)
        with exposed(metrics_host, metrics_port) as exposure:
            if exposure:
                logs.tell(logging.INFO, f"Serves {exposure.url}", url=exposure.url)
            interrupts.only_notice()
            try:
                came = Job(settings, area, until_drained, interrupts.is_noticed, exposure).run()
            finally:
                interrupts.listen()
    from tidemark.report.events import events_as_json, show_events
    from tidemark.report.tables import console

    is_cut_short = until_drained and not came.is_drained
    show_events(console(quiet=json_), area, came, is_cut_short)
    if came.report.error and logs.writes_json():
        logs.tell(logging.ERROR, came.report.error)
    failed = came.report.error is not None or is_cut_short
    told = {"landing": area.root, **events_as_json(came)}
    leave("ingest events", json_, Exit.FAILED if failed else Exit.DONE, told)

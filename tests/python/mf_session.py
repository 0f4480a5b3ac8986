"""Call MetricFlow's `mf` several times in one process: `python mf_session.py CALLS PRINTED`.

CALLS is a file with a JSON list of argument lists, PRINTED gets a JSON list of what each printed.
Its spinner, which does not go to the console of click, says on standard output how it went on.
A process of its own, as `mf` takes over logging and signals, and one for all, as it takes 2 s to
begin.
"""

import json
import sys
from pathlib import Path
from unittest.mock import patch

from click.testing import CliRunner
from dbt_metricflow.cli.cli_configuration import CLIConfiguration
from dbt_metricflow.cli.main import cli


def told(calls: list[list[str]]) -> list[str]:
    """What `mf` printed at each call. Raises RuntimeError where one failed."""
    configuration, printed = CLIConfiguration(), list[str]()
    # It would ask a registry for a newer version of itself.
    with patch("dbt_metricflow.cli.main.UpdateChecker") as checker:
        checker.return_value.check.return_value = None
        for call in calls:
            ran = CliRunner().invoke(cli, call, obj=configuration)
            if ran.exit_code:
                raise RuntimeError(f"mf {' '.join(call)}: {ran.output}") from ran.exception
            printed.append("\n".join(line.rstrip() for line in ran.output.splitlines()))
    return printed


if __name__ == "__main__":
    calls, answers = map(Path, sys.argv[1:])
    answers.write_text(
        json.dumps(told(json.loads(calls.read_text(encoding="utf-8")))), encoding="utf-8"
    )

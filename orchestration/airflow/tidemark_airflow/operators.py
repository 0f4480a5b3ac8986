"""The tasks: one calls the command, the others show what it told."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Collection, Sequence
from typing import Any

from airflow.sdk import Asset, BaseHook, BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from tidemark_airflow import told as said
from tidemark_airflow.project import Project

TOLD = "told"
# What reads or lands files only, and so has no target.
_WITHOUT_TARGET = ("ingest",)


def target_taken(arguments: Sequence[str]) -> bool:
    """Whether a command has a target."""
    return arguments[0] not in _WITHOUT_TARGET


def conclude(told: dict[str, Any], context: Any, log: Any) -> None:
    """Show what was told, keep it for the tasks after this one, and end as the command did."""
    for sentence in filter(None, said.sentences(told)):
        log.info(sentence)
    kept = {"exit_code": told["exit_code"], "error": told.get("error")}
    if "models" in told:
        kept["marts"] = _of_all_tries(said.marts(told), context, told["exit_code"])
    else:
        kept |= {name: told[name] for name in _FIGURES if name in told}
    context["ti"].xcom_push(key=TOLD, value=kept)
    said.settle(told)


# What is worth keeping of commands other than a run.
_FIGURES = ("as_of", "gaps", "plan", "repairs", "left", "steps", "failures", "not_compared")


def _of_all_tries(marts: dict[str, Any], context: Any, exit_code: int) -> dict[str, Any]:
    """What a try built stays built, and has to be told by the one that succeeds: Airflow forgets
    what a failed try has pushed."""
    store = context["task_state_store"]
    before: dict[str, Any] = store.get("built") or {}
    for name, known in before.items():
        if marts.get(name, {}).get("state") != said.BUILT:
            marts[name] = known
    built = {name: known for name, known in marts.items() if known["state"] == said.BUILT}
    store.set("built", built if exit_code == said.FAILED else {})
    return marts


class TidemarkOperator(BaseOperator):
    """Calls `tidemark` on the worker. Each argument is rendered for itself, and stays one."""

    template_fields: Sequence[str] = ("arguments",)
    ui_color = "#d7e8f4"

    def __init__(self, *, arguments: Sequence[str], project: Project, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.arguments = list(arguments)
        self.project = project
        self._process: subprocess.Popen[str] | None = None

    def execute(self, context: Any) -> None:
        """Call it, with what it logs in the task's log."""
        arguments = self.project.arguments(self.arguments, target_taken(self.arguments))
        connection = self.project.connection
        env = self.project.environment(BaseHook.get_connection(connection) if connection else None)
        self.log.info("tidemark %s", arguments)
        self._process = subprocess.Popen(
            [self.project.command, *arguments],
            cwd=self.project.directory,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        stdout, stderr = self._process.communicate()
        for line in filter(None, stderr.splitlines()):
            self.log.info(line)
        conclude(read(stdout, stderr, self._process.returncode), context, self.log)

    def on_kill(self) -> None:
        """Let it close its ledger."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)


def read(stdout: str, stderr: str, exit_code: int) -> dict[str, Any]:
    """The object that a command printed; of one that printed none, what it said instead."""
    if stdout.strip():
        told: dict[str, Any] = json.loads(stdout)
        return told
    words = " ".join(re.sub("[─│╭╮╰╯]", " ", stderr).split()) or "The command ended without a word."
    return {"exit_code": exit_code, "error": words}


class MartOperator(BaseOperator):
    """What a run did with one mart. Its asset is told exactly when it was built."""

    ui_color = "#e5f3dd"

    def __init__(self, *, mart: str, asset: Asset, run: str, **kwargs: Any) -> None:
        # Where the run was skipped, so is every mart, without a process of its own.
        super().__init__(outlets=[asset], trigger_rule="none_skipped", retries=0, **kwargs)
        self.mart, self.asset, self.run_task = mart, asset, run

    def execute(self, context: Any) -> None:
        """Succeed, skip or fail as the mart did."""
        told = context["ti"].xcom_pull(task_ids=self.run_task, key=TOLD) or {}
        known = told.get("marts", {}).get(self.mart)
        if known is None:
            raise AirflowSkipException("The run said nothing of it.")
        self.log.info("%s: %s", known["state"], known["reason"])
        if known["state"] == said.BUILT:
            figures = {name: known[name] for name in ("rows", "partitions", "clock", "reason")}
            context["outlet_events"][self.asset].extra = figures
            return
        if known["state"] == said.BROKEN:
            raise AirflowFailException(known["reason"])
        raise AirflowSkipException(f"{known['state']}: {known['reason']}")


class BlockedOperator(BaseOperator):
    """Red while marts wait for a source, with the reasons; it tells nobody: the project did."""

    ui_color = "#f6d8d3"

    def __init__(self, *, run: str, **kwargs: Any) -> None:
        silent = {"on_failure_callback": None, "email_on_failure": False}
        super().__init__(trigger_rule="none_skipped", retries=0, **{**kwargs, **silent})
        self.run_task = run

    def execute(self, context: Any) -> None:
        """Fail with the reasons, or be skipped."""
        told = context["ti"].xcom_pull(task_ids=self.run_task, key=TOLD) or {}
        reasons: dict[str, list[str]] = {}
        for name, known in told.get("marts", {}).items():
            if known["state"] == said.IS_BLOCKED:
                reasons.setdefault(known["reason"], []).append(name)
        if not reasons:
            raise AirflowSkipException("Nothing is blocked.")
        words = [f"{reason} Waiting: {', '.join(names)}." for reason, names in reasons.items()]
        raise AirflowFailException(" ".join(words))


class OutcomeOperator(BaseOperator):
    """How the whole went: a run's end waits for it, and not for who is blocked."""

    def __init__(self, *, tasks: Collection[str], fails_when_blocked: bool, **kwargs: Any) -> None:
        super().__init__(trigger_rule="all_done", retries=0, **kwargs)
        self.tasks, self.fails_when_blocked = list(tasks), fails_when_blocked

    def execute(self, context: Any) -> None:
        """Fail when any of the commands did."""
        codes = {}
        for task in self.tasks:
            told = context["ti"].xcom_pull(task_ids=task, key=TOLD) or {}
            codes[task] = told.get("exit_code", said.FAILED)
        well = {said.DONE, said.SKIPPED}
        well |= set() if self.fails_when_blocked else {said.BLOCKED}
        if bad := [task for task, code in codes.items() if code not in well]:
            raise AirflowFailException(f"{', '.join(bad)} did not succeed; what did is complete.")
        if set(codes.values()) == {said.SKIPPED}:
            raise AirflowSkipException("Nothing is new.")

"""Messages to people, once per change of state, through the channels in TIDEMARK_ALERT_URLS.

What each channel was told last is kept in the warehouse (`ops.alerts`), and written only after a
message was delivered: what did not arrive is tried again. Nothing here fails a command.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from threading import Thread
from typing import TYPE_CHECKING, Any

from tidemark.clock import parse_clock, show_time
from tidemark.engine import DatabaseLockedError, Dbt, DbtError
from tidemark.gate import Decision, ModelState, SourceCheck
from tidemark.health import Figure, Health, Level, read_figure
from tidemark.logs import tell
from tidemark.messages import telling_lines
from tidemark.shown import hidden, plain

if TYPE_CHECKING:
    from tidemark.build import BuildReport
    from tidemark.judgement import Judgement
    from tidemark.load import BroughtIn, Load

_VARIABLE = "TIDEMARK_ALERT_URLS"
# How many of a kind a message names; a column lost upstream may fail every model below it.
_NAMED = 3
# Seconds that a channel gets to take a message.
_MOST_SECONDS = 60
# These levels only repeat what a failure has told, the second identical one included.
_TOLD_AS_FAILURES = ("failed_runs", "job_failures")


class State(str, Enum):
    """What a channel knows of a subject; without a word it takes it for good."""

    GOOD = "good"
    FAILED = "failed"
    BLOCKED = "blocked"
    CRITICAL = "critical"


_HEADINGS = {State.GOOD: "recovered"}


@dataclass(frozen=True)
class Finding:
    """One thing that a command has seen; the kind of a level is its metric."""

    kind: str
    name: str
    state: State
    text: str = ""
    job: str = ""

    @property
    def subject(self) -> str:
        """Under this name it is remembered."""
        return f"{self.kind} {self.name}".strip()


@dataclass(frozen=True)
class Facts:
    """What the macro `alert_facts` reports; empty when the warehouse did not answer."""

    told: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    figures: Sequence[Figure] = ()
    worked: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True)
class Message:
    """What is sent."""

    title: str
    body: str
    is_bad: bool


def changes(told: Mapping[str, str], findings: Iterable[Finding]) -> list[Finding]:
    """What a channel has not been told yet. What was not looked at stays as it was told."""
    return [
        finding
        for finding in findings
        if finding.state.value != told.get(finding.subject, State.GOOD.value)
    ]


def of_sources(checks: Iterable[SourceCheck]) -> list[Finding]:
    """Whether the gate's sources block."""
    return [
        Finding("source", check.source, State.BLOCKED, check.reason)
        if check.blocks
        else Finding("source", check.source, State.GOOD)
        for check in checks
    ]


def of_code(decisions: Iterable[Decision]) -> list[Finding]:
    """Which tables are held because their code changed."""
    return [
        Finding("code", decision.model, State.BLOCKED, decision.reason)
        if decision.code and decision.code.policy == "hold"
        else Finding("code", decision.model, State.GOOD)
        for decision in decisions
    ]


def of_build(report: BuildReport) -> list[Finding]:
    """What failed in a build, and what did not; the rest was not asked."""
    failed = [
        Finding(failure.kind, failure.node, State.FAILED, failure.message, failure.job)
        for failure in report.failures
    ]
    return failed + [Finding(kind, name, State.GOOD) for kind, name in report.passed]


def of_load(load: Load) -> list[Finding]:
    """How a load went, and the last run of each ingest job that reported."""
    findings = [
        Finding("ingest", job, State.GOOD)
        if report.status == "success"
        else Finding("ingest", job, State.FAILED, report.error or "", f"ingest {job}")
        for job, report in load.last_jobs.items()
    ]
    state = State.GOOD if load.is_done else State.FAILED
    return [*findings, Finding("load", "", state, load.error or "", "load")]


def of_brought_in(brought: BroughtIn | None) -> list[Finding]:
    """The same of a run that ingests."""
    if brought is None:
        return []
    findings = of_load(brought.load) if brought.load else []
    if brought.error:
        findings = [*findings, Finding("load", "", State.FAILED, brought.error, "load")]
    return findings


def of_levels(figures: Iterable[Figure], with_sources: bool = False) -> list[Finding]:
    """Which figures are critical; a source past its limit is one that blocks, and told as that."""
    worst: dict[tuple[str, str], Figure] = {}
    for figure in figures:
        # Bad rows are counted by reason, and a reason without rows has no figure to recover.
        key = (figure.metric, figure.about)
        if key not in worst or figure.level > worst[key].level:
            worst[key] = figure
    findings = []
    for (metric, subject), figure in worst.items():
        is_critical = figure.level is Level.CRITICAL
        if metric == "source_age":
            if with_sources:
                state = State.BLOCKED if is_critical else State.GOOD
                text = f"{figure.words}: {figure.detail}." if is_critical else ""
                findings.append(Finding("source", subject, state, text))
        elif metric not in _TOLD_AS_FAILURES:
            state = State.CRITICAL if is_critical else State.GOOD
            findings.append(Finding(metric, subject, state, figure.words if is_critical else ""))
    return findings


def compose(
    news: Sequence[Finding], worked: Mapping[str, datetime], signature: str, options: str = ""
) -> Message:
    """One message about all news, the worst first."""
    counted = Counter(finding.state for finding in news)
    title = ", ".join(f"{counted[state]} {_heading(state)}" for state in _ORDER if counted[state])
    paragraphs = []
    for state in _ORDER:
        of_state = [finding for finding in news if finding.state is state]
        if state is State.FAILED:
            paragraphs += [_failure(finding, worked) for finding in of_state[:_NAMED]]
            if rest := of_state[_NAMED:]:
                paragraphs.append(f"Failed as well: {_names(rest)}.")
        elif state is State.BLOCKED:
            paragraphs += [f"Blocked: {finding.text}" for finding in of_state]
        else:
            paragraphs += _by_kind(state, of_state)
    commands = []
    if counted[State.FAILED]:
        commands.append(f"tidemark status{options}   (dbt's whole message is in logs/dbt.log)")
    elif counted[State.CRITICAL]:
        commands.append(f"tidemark status{options}")
    if counted[State.BLOCKED]:
        commands.append(f"tidemark check{options}")
    if commands:
        paragraphs.append("Look closer:\n" + "\n".join(f"  {command}" for command in commands))
    is_bad = any(finding.state is not State.GOOD for finding in news)
    return Message(f"Tidemark: {title}", "\n\n".join([*paragraphs, signature]), is_bad)


_ORDER = (State.FAILED, State.BLOCKED, State.CRITICAL, State.GOOD)


def _heading(state: State) -> str:
    return _HEADINGS.get(state, state.value)


def _failure(finding: Finding, worked: Mapping[str, datetime]) -> str:
    lines = "\n".join(f"  {line.strip()}" for line in finding.text.splitlines())
    moment = worked.get(finding.job or finding.name or finding.kind)
    last = f"It last worked {show_time(moment)}." if moment else "No success of it is known."
    return f"Failed: {finding.subject}\n{lines}\n  {last}"


def _by_kind(state: State, findings: Iterable[Finding]) -> list[str]:
    """A line per kind: metrics are told together, a stale source makes many jobs late."""
    by_kind: dict[str, list[Finding]] = {}
    for finding in findings:
        by_kind.setdefault(finding.kind, []).append(finding)
    heading = _heading(state).capitalize()
    return [f"{heading}: {kind} {_names(found)}".strip() for kind, found in by_kind.items()]


def _names(findings: Sequence[Finding]) -> str:
    names = [
        finding.text if finding.state is State.CRITICAL else finding.name for finding in findings
    ]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def after_run(
    dbt: Dbt,
    judgement: Judgement,
    built: BuildReport,
    on_success: bool = False,
    ingested: Sequence[Finding] = (),
) -> None:
    """Tell what a run has changed; a success as such only to those who want it."""
    if not os.environ.get(_VARIABLE):
        return
    with _harmless():
        failed = [finding for finding in ingested if finding.state is State.FAILED]
        jobs = [failure.job for failure in built.failures] + [finding.job for finding in failed]
        facts = _facts(dbt, filter(None, jobs), judgement.as_of)
        findings = [
            *ingested,
            *of_build(built),
            *of_sources(judgement.checks),
            *of_code(judgement.decisions),
            *of_levels(facts.figures),
            Finding("run", "", State.GOOD),
        ]
        is_success = not (built.failures or failed or judgement.models(ModelState.BLOCKED))
        success = _success(judgement, built) if on_success and is_success else ""
        _deliver(dbt, findings, facts, judgement.as_of, success)


def after_load(dbt: Dbt, load: Load) -> None:
    """Tell how a load went, and the ingest jobs that have reported since the one before."""
    if not os.environ.get(_VARIABLE):
        return
    with _harmless():
        findings = of_load(load)
        jobs = [finding.job for finding in findings if finding.state is State.FAILED]
        # The levels are judged by what runs and checks have seen.
        _deliver(dbt, findings, _facts(dbt, jobs, load.as_of), load.as_of)


def after_look(dbt: Dbt, health: Health) -> None:
    """Tell what a look has found."""
    if not os.environ.get(_VARIABLE):
        return
    with _harmless():
        facts = _facts(dbt, [], health.as_of)
        _deliver(dbt, of_levels(health.figures, with_sources=True), facts, health.as_of)


@contextmanager
def told_when_it_fails(dbt: Dbt, command: str = "run") -> Iterator[None]:
    """Tell that a command failed as a whole; the error goes on to who explains it."""
    try:
        yield
    except Exception as error:
        if os.environ.get(_VARIABLE):
            with _harmless():
                # Who has just waited for the lock in vain need not do so again.
                is_locked = isinstance(error, DatabaseLockedError)
                facts = Facts() if is_locked else _facts(dbt, [])
                text = telling_lines(str(error) or type(error).__name__)
                failed = [Finding(command, "", State.FAILED, text)]
                _deliver(dbt, failed, facts, is_recorded=not is_locked)
        raise


@contextmanager
def _harmless() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Only its type: what a service says may hold the address with its secrets.
        tell(logging.WARNING, f"Alerts could not be sent ({type(error).__name__}).")


def _facts(dbt: Dbt, jobs: Iterable[str], as_of: datetime | None = None) -> Facts:
    try:
        outcome = dbt.operate("alert_facts", {"jobs": sorted(set(jobs))}, as_of)
    except DbtError:
        tell(logging.WARNING, "What was told before is not known; an alert may repeat itself.")
        return Facts()
    return read_facts(outcome.event("alert_facts"))


def read_facts(payload: Mapping[str, Any]) -> Facts:
    """Read the payload of the `alert_facts` event."""
    told: dict[str, dict[str, str]] = {}
    for row in payload["told"]:
        told.setdefault(row["channel"], {})[row["subject"]] = row["state"]
    return Facts(
        told=told,
        figures=[read_figure(row) for row in payload["figures"]],
        worked={job: parse_clock(moment) for job, moment in payload["worked"].items()},
    )


def _success(judgement: Judgement, built: BuildReport) -> str:
    new = len(judgement.models(ModelState.NEW))
    unchanged = len(judgement.models(ModelState.UNCHANGED))
    if not new:
        return f"Nothing was new; {unchanged} models were left as they are."
    told = f"Built {new} models in {built.seconds:.1f} s; {unchanged} had no new input."
    whole = {model.model for model in built.models if model.mode == "full"}
    rebuilt = [
        f"Rebuilt whole: {each.model}, its code changed ({each.code.why})."
        for each in judgement.decisions
        if each.code and each.code.policy == "rebuild" and each.model in whole
    ]
    return "\n".join([told, *rebuilt])


def _deliver(
    dbt: Dbt,
    findings: Sequence[Finding],
    facts: Facts,
    as_of: datetime | None = None,
    success: str = "",
    is_recorded: bool = True,
) -> None:
    """Tell every channel what is new to it, and write down what arrived."""
    clock = f"The clock stood at {show_time(as_of)}; run id" if as_of else "Run id"
    signature = f"{clock} {dbt.run_id}."
    options = f" --target {dbt.target}" if dbt.target else ""
    delivered: list[dict[str, str]] = []
    for channel, service in _channels():
        news = changes(facts.told.get(channel, {}), findings)
        if news:
            message = compose(
                news, facts.worked, "\n\n".join(filter(None, [success, signature])), options
            )
        elif success:
            message = Message("Tidemark: success", f"{success}\n\n{signature}", is_bad=False)
        else:
            continue
        if _send(service, message):
            tell(logging.INFO, f"Told channel {channel}: {message.title}")
            delivered += [
                {"channel": channel, "subject": finding.subject, "state": finding.state.value}
                for finding in news
            ]
        else:
            again = " The next run tries again." if news else ""
            tell(logging.WARNING, f"Channel {channel} took no alert ({message.title}).{again}")
    if delivered and is_recorded:
        try:
            dbt.operate("record_alerts", {"alerts": delivered}, as_of)
            return
        except DbtError:
            is_recorded = False
    if delivered and not is_recorded:
        tell(logging.WARNING, "What was told could not be recorded: the next run may repeat it.")


def _channels() -> Iterator[tuple[str, Any]]:
    """The services, each under a name that keeps its address secret: kind and number."""
    apprise = _apprise()
    known = apprise.Apprise()
    if not known.add(os.environ[_VARIABLE]):
        tell(logging.WARNING, f"An address in {_VARIABLE} is none that apprise understands.")
    seen: Counter[str] = Counter()
    for service in known:
        kind = str(service.service_name)
        seen[kind] += 1
        yield f"{kind} {seen[kind]}", service


def calling_nobody(text: str) -> str:
    r"""A text that a chat shows as it is: it mentions nobody, and hides no address behind a word.

    Each chat has its own words for all people (`@everyone`, `<!channel>`, `<users/all>`), and its
    own way of escaping them; but none of them sees one where a space of no width stands in it.

    >>> calling_nobody("@here <!channel> [free](https://example.com)").replace(_NO_WIDTH, "~")
    '@~here <~!channel> [free]~(https://example.com)'
    """
    return _CALLS.sub(rf"\g<0>{_NO_WIDTH}", text)


_NO_WIDTH = "\u200b"
_CALLS = re.compile(r"@(?=\S)|<(?=[!@#/A-Za-z])|\](?=\()")


def _send(service: Any, message: Message) -> bool:
    apprise = _apprise()
    sender = apprise.Apprise()
    sender.add(service)
    kind = apprise.NotifyType.FAILURE if message.is_bad else apprise.NotifyType.SUCCESS
    text = {"title": plain(hidden(message.title)), "body": plain(hidden(message.body))}
    # A mail calls nobody, and its addresses are there to be copied.
    if service.protocol != "mailto":
        text = {name: calling_nobody(each) for name, each in text.items()}
    text["body_format"] = apprise.NotifyFormat.TEXT
    return _within(_MOST_SECONDS, lambda: bool(sender.notify(notify_type=kind, **text)))


def _within(seconds: float, send: Callable[[], bool]) -> bool:
    """Whether something was sent in time; a service that answers by the byte is not waited for."""
    outcome = [False]

    def sending() -> None:
        with suppress(Exception):
            outcome[0] = send()

    thread = Thread(target=sending, daemon=True, name="alert")
    thread.start()
    thread.join(seconds)
    return outcome[0]


def _apprise() -> Any:
    """Imported when there is something to send; its log would name addresses and passwords."""
    import apprise

    logging.getLogger("apprise").disabled = True
    return apprise

"""What a command told, and what becomes of the task that called it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

DONE, FAILED, USAGE, BLOCKED, SKIPPED = 0, 1, 2, 3, 99

# One of those is each mart's state.
BUILT, UNCHANGED, IS_BLOCKED, BROKEN, NOT_REACHED = (
    *("built", "unchanged", "blocked"),
    *("failed", "not reached"),
)


def marts(told: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What a run did with each mart: its state, why, and what was written at which clock."""
    decided = {each["model"]: each for each in told.get("models", [])}
    build = told.get("build") or {}
    failures = {each["node"]: each["message"] for each in build.get("failures", [])}
    found: dict[str, dict[str, Any]] = {
        name: {"state": each["state"], "reason": each["reason"]} for name, each in decided.items()
    }
    for each in build.get("models", []):
        if each["model"] not in decided:
            continue
        known = found[each["model"]]
        if each["status"] == "success":
            known["state"] = BUILT
            known |= {name: each[name] for name in ("rows", "partitions", "mode")}
            known["clock"] = told["as_of"]
        elif each["status"] == "skipped":
            known |= {"state": NOT_REACHED, "reason": "What it is built on failed."}
        else:
            known |= {"state": BROKEN, "reason": failures.get(each["model"], each["status"])}
    for name, known in found.items():
        if known["state"] == "new":
            known |= {"state": NOT_REACHED, "reason": f"Not built. {decided[name]['reason']}"}
    return found


def sentences(told: Mapping[str, Any]) -> list[str]:
    """What the log of the task shows of it."""
    if "error" in told:
        return [told["error"], told.get("untouched", "")]
    shown = []
    for name, known in marts(told).items():
        written = ""
        if "clock" in known:
            counted = (known["rows"], "rows"), (known["partitions"], "partitions")
            told_of = [f"{number} {word}" for number, word in counted if number is not None]
            written = ", ".join([*told_of, f"at {known['clock']}"]) + ": "
        shown.append(f"{name}: {known['state']}: {written}{known['reason']}")
    shown += _of_gaps(told)
    failures = [*told.get("failures", []), *((told.get("build") or {}).get("failures", []))]
    return shown + [f"{each['node']} failed: {each['message']}" for each in failures]


def _of_gaps(told: Mapping[str, Any]) -> list[str]:
    """What a look found, what is planned of it, and what was done."""
    shown = []
    for each in told.get("gaps", []):
        days = f"{each['first']} to {each['last']}" if each["first"] else "whole"
        shown.append(f"{each['model']} {each['entity']}: {days}: {each['state']}")
    if "repairs" in told:
        planned = Counter(each["decision"] for each in told["plan"])
        shown.append(", ".join(f"{n} {word}" for word, n in planned.items()) or "Nothing planned.")
    for each in told.get("repairs", []):
        shown.append(f"{each['day']}: {each['repaired']} repaired, {each['failed']} failed")
    return shown


def settle(told: Mapping[str, Any]) -> None:
    """Let the task end as its command did: raise what Airflow shows as skipped or failed.

    Who waits for a stale source has not failed: it is told by its own task.
    """
    code = told["exit_code"]
    if code == SKIPPED:
        raise AirflowSkipException("Nothing is new.")
    if code in (DONE, BLOCKED):
        return
    if code == USAGE:
        # No repetition mends it.
        raise AirflowFailException(told.get("error", "The command was not understood."))
    raise AirflowException(_failure(told))


def _failure(told: Mapping[str, Any]) -> str:
    if "error" in told:
        return f"{told['error']} {told.get('untouched', '')}".strip()
    failures = [*told.get("failures", []), *((told.get("build") or {}).get("failures", []))]
    failures += [failed for each in told.get("repairs", []) for failed in each["failures"]]
    names = ", ".join(dict.fromkeys(each["node"] for each in failures))
    return f"Failed: {names or 'see above'}. What succeeded is complete and recorded."

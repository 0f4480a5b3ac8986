"""The files of deployments call what there is, agree with one another, and hold no secret."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

import pytest
import typer
from packaging.specifiers import SpecifierSet
from yaml import safe_load

from tidemark import cli

PROJECT = Path(__file__).parents[2]
DEPLOY = PROJECT / "examples" / "deploy"
WORKFLOWS = sorted((PROJECT / "examples" / "github").glob("*.yml"))
FILES = [*sorted(DEPLOY.iterdir()), *WORKFLOWS]
DOCS = PROJECT / "docs" / "scheduling.md"
names = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)

COMMANDS: dict[str, Any] = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
# A command of `tidemark`, up to the end of its part of the line.
_CALLED = re.compile(rf"\btidemark ((?:{'|'.join(COMMANDS)})\b[^`\n;>|&]*)")
_SECRET = re.compile(r"\w*(?:PASSWORD|PASSPHRASE|PRIVATE_KEY|SECRET|TOKEN|ALERT_URLS)\w*")
_FROM_ELSEWHERE = re.compile(r"|\$\{\{ secrets\.\w+ \}\}|\$\{\{ github\.token \}\}|\$\{\w+:-\}")


def instructions() -> list[tuple[str, str]]:
    """Those of the Dockerfile, each on one line."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line]  # type: ignore[misc]


def calls(file: Path) -> list[list[str]]:
    """The arguments of every `tidemark` that a file calls, its comments and messages included."""
    if file.name == "Dockerfile":
        told = dict(instructions())
        return [[*json.loads(told["ENTRYPOINT"]), *json.loads(told["CMD"])][1:]]
    return [shlex.split(each) for each in _CALLED.findall(file.read_text())]


def test_there_are_calls_to_look_at() -> None:
    called = {file.name: [words[0] for words in calls(file)] for file in FILES}
    assert {name: found for name, found in called.items() if found} == {
        "Dockerfile": ["run"],
        "compose.yaml": ["status"],
        "tidemark.service": ["run"],
        "tidemark.timer": ["cadence"],
        "tidemark.cron": ["run"],
        "plan.yml": ["plan"],
        "run.yml": ["run"],
    }


@names
def test_commands_and_their_options_are_there(file: Path) -> None:
    for command, *words in calls(file):
        known = {option for each in COMMANDS[command].params for option in each.opts}
        assert [word for word in words if word.startswith("-") and word not in known] == []
        # that they go together is the command's affair: it reads them, and ends before it runs
        COMMANDS[command].make_context(command, words)


@names
def test_secrets_come_with_the_environment_alone(file: Path) -> None:
    text = file.read_text()
    given = re.findall(rf"^[# ]*({_SECRET.pattern})[ \t]*[=:][ \t]*(.*)$", text, flags=re.MULTILINE)
    assert [(n, value) for n, value in given if not _FROM_ELSEWHERE.fullmatch(value)] == []
    # a command would show them to all who list processes
    assert not any(_SECRET.search(" ".join(words).upper()) for words in calls(file))


def test_a_secret_would_be_found() -> None:
    assert _SECRET.fullmatch("SNOWFLAKE_PASSWORD")
    assert not _FROM_ELSEWHERE.fullmatch("hunter2")
    secrets = {line.strip("#=\n") for line in (DEPLOY / "example.env").open() if "=\n" in line}
    assert len([name for name in secrets if _SECRET.fullmatch(name)]) == 4


def test_versions_of_python_are_supported() -> None:
    (wanted,) = re.findall(r'requires-python = "(.*)"', (PROJECT / "pyproject.toml").read_text())
    (image,) = re.findall(r"^FROM python:([\d.]+)-slim$", (DEPLOY / "Dockerfile").read_text(), re.M)
    used = [image]
    for file in WORKFLOWS:
        used += re.findall(r'python-version: "([\d.]+)"', file.read_text())
    assert len(used) == 1 + len(WORKFLOWS)
    assert [each for each in used if each not in SpecifierSet(wanted)] == []


def test_the_image_copies_what_is_there_and_not_what_is_somebodys() -> None:
    copied = [words.split()[:-1] for instruction, words in instructions() if instruction == "COPY"]
    assert [name for names in copied for name in names if not (PROJECT / name).exists()] == []
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert {"**/.env", "tidemark.yml", "**/*.duckdb*", ".git", "landing"} <= set(ignored)
    # dbt reads descriptions in docs, pip the licence
    assert not {"docs", "README.md", "LICENSE", "packages", "tests"} & set(ignored)
    extras = dict(instructions())["ARG"].removeprefix("EXTRAS=").split(",")
    declared = (PROJECT / "pyproject.toml").read_text()
    assert [extra for extra in extras if f"\n{extra} = [" not in declared] == []


def test_yaml_says_what_it_should() -> None:
    compose = safe_load((DEPLOY / "compose.yaml").read_text())
    tidemark = compose["services"]["tidemark"]
    assert (PROJECT / tidemark["build"]["dockerfile"]).is_file()
    assert (DEPLOY / tidemark["build"]["context"]).resolve() == PROJECT
    (volume,) = (words for instruction, words in instructions() if instruction == "VOLUME")
    assert tidemark["volumes"] == [f"data:{volume}"]
    assert tidemark["read_only"]
    # only who asks for a bucket has one
    assert [name for name, each in compose["services"].items() if "profiles" not in each] == [
        "tidemark"
    ]
    for service in compose["services"].values():
        for each in service["volumes"]:
            assert each.split(":")[0] in compose["volumes"]
    for file in WORKFLOWS:
        workflow = safe_load(file.read_text())
        # YAML takes the key `on` for true
        assert {"name", True, "permissions", "jobs"} <= workflow.keys()


def test_all_of_them_run_at_the_same_minute() -> None:
    (every,) = (words[words.index("--every") + 1] for words in calls(DEPLOY / "Dockerfile"))
    (cron,) = re.findall(
        r"^(\S+ \S+ \S+ \S+ \S+) tidemark ", (DEPLOY / "tidemark.cron").read_text(), re.M
    )
    (timer,) = re.findall(r"^OnCalendar=(.*)$", (DEPLOY / "tidemark.timer").read_text(), re.M)
    workflow = safe_load((PROJECT / "examples" / "github" / "run.yml").read_text())
    (scheduled,) = workflow[True]["schedule"]
    assert every == cron == scheduled["cron"] == "5 * * * *"
    assert timer == "*-*-* *:05:00 UTC"


# ---- tried ----


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The folders of a machine, with a `tidemark` that writes down how it was called."""
    command = tmp_path / "opt" / "tidemark" / ".venv" / "bin" / "tidemark"
    command.parent.mkdir(parents=True)
    command.write_text('#!/bin/sh\necho "$PWD $TIDEMARK_TARGET $SNOWFLAKE_PASSWORD $*"\n')
    command.chmod(0o755)
    for folder in ("etc", "var/lib/tidemark"):
        (tmp_path / folder).mkdir(parents=True)
    said = "TIDEMARK_TARGET=snowflake\nSNOWFLAKE_PASSWORD='a$b \"c\" #d'\n"
    (tmp_path / "etc" / "tidemark.env").write_text(said)
    return tmp_path


def test_the_line_of_cron_runs_once_at_a_time(installed: Path) -> None:
    *_, line = (DEPLOY / "tidemark.cron").read_text().splitlines()
    user, command = line.split(None, 6)[5:]
    assert (user, "%" in command) == ("tidemark", False)
    for folder in ("/opt/", "/etc/", "/var/lib/"):
        command = command.replace(f" {folder}", f" {installed}{folder}")
    folder = installed / "var" / "lib" / "tidemark"

    def ran() -> tuple[int, str]:
        code = subprocess.run(["sh", "-c", command], env={"PATH": os.environ["PATH"]}).returncode
        return code, (folder / "run.log").read_text()

    told = f'{installed}/opt/tidemark snowflake a$b "c" #d run\n'
    assert ran() == (0, told)
    with (folder / "run.lock").open() as lock:
        flock(lock, LOCK_EX)
        assert ran() == (0, told)
    assert ran() == (0, told * 2)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="a machine without systemd")
def test_systemd_takes_the_units_and_the_time(installed: Path) -> None:
    units = installed / "units"
    units.mkdir()
    for unit in ("tidemark.service", "tidemark.timer"):
        text = (DEPLOY / unit).read_text().replace("=/opt/", f"={installed}/opt/")
        (units / unit).write_text(text)
    files = [str(unit) for unit in units.iterdir()]
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True
    )
    # of other units, which this machine may lack, it tells as well
    assert [line for line in verified.stderr.splitlines() if "tidemark" in line] == []
    (units / "tidemark.service").write_text("[Service]\nExecStart=/nowhere/tidemark\n")
    broken = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True
    )
    assert "/nowhere/tidemark is not executable" in broken.stderr


@pytest.mark.parametrize(
    ("code", "ends"), [(0, 0), (1, 1), (3, 0)], ids=["done", "failed", "blocked"]
)
def test_the_step_of_the_workflow(code: int, ends: int, tmp_path: Path) -> None:
    workflow = safe_load((PROJECT / "examples" / "github" / "run.yml").read_text())
    *_, step = workflow["jobs"]["run"]["steps"]
    command = tmp_path / "tidemark"
    command.write_text(f'#!/bin/sh\necho "Blocked 4 models below events."\nexit {code}\n')
    command.chmod(0o755)
    summary = tmp_path / "summary.md"
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": str(summary)}
    # as the runner calls it
    ran = subprocess.run(
        ["bash", "-e", "-c", step["run"]],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == ends
    warned = "::warning title=Blocked::Blocked 4 models below events."
    assert (warned in ran.stdout) == (code == 3)
    assert summary.read_text() == "```\nBlocked 4 models below events.\n```\n"

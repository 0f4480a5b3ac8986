"""The factory, with commands that say what a test wants them to say; Airflow is the real one."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from conftest import BUILT
from test_dags import told_assets

from tidemark_airflow import Pod, Project, run_dag
from tidemark_airflow.project import snowflake_environment
from tidemark_airflow.told import sentences

Says = Callable[..., Project]
MARTS = ["server_engagement_daily", "engagement_daily"]


@pytest.fixture
def says(tmp_path: Path) -> Says:
    """A project whose command says one thing after the other, and notes how it was called."""

    def project(*told: dict[str, Any], **given: Any) -> Project:
        for number, each in enumerate(told, start=1):
            (tmp_path / f"{number}.json").write_text(json.dumps(each))
        command = tmp_path / "tidemark"
        command.write_text(
            "#!/usr/bin/env python3\n"
            "import json, os, pathlib, sys\n"
            f"here = pathlib.Path({str(tmp_path)!r})\n"
            "number = len(list(here.glob('*.called'))) + 1\n"
            "called = {'arguments': sys.argv[1:], 'env': dict(os.environ)}\n"
            "(here / f'{number}.called').write_text(json.dumps(called))\n"
            "text = (here / f'{number}.json').read_text()\n"
            "print(text)\n"
            "sys.exit(json.loads(text)['exit_code'])\n"
        )
        command.chmod(0o755)
        return Project(tmp_path, str(command), BUILT / "manifest.json", **given)

    return project


def run(exit_code: int, states: dict[str, str], built: dict[str, str]) -> dict[str, Any]:
    """What `tidemark run --json` says."""
    failed = [name for name, status in built.items() if status == "error"]
    return {
        "exit_code": exit_code,
        "as_of": "2025-10-15T13:00:00",
        "models": [{"model": m, "state": s, "reason": f"{m} is {s}."} for m, s in states.items()],
        "build": {
            "models": [
                {"model": m, "status": s, "mode": "incremental", "rows": 4, "partitions": 2}
                for m, s in built.items()
            ],
            "failures": [{"node": name, "message": f"{name} broke."} for name in failed],
        },
    }


def tried(dag: Any) -> Any:
    """Run a DAG that lies in no folder: Airflow has to be told of it."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db

    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(os.devnull)
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)
    return dag.test()


def called(home: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(home.glob("*.called"))]


def test_what_a_failed_try_built_is_told_by_the_one_that_succeeds(
    says: Says, tmp_path: Path
) -> None:
    first = run(1, dict.fromkeys(MARTS, "new"), {MARTS[0]: "success", MARTS[1]: "error"})
    then = run(0, {MARTS[0]: "unchanged", MARTS[1]: "new"}, {MARTS[1]: "success"})
    dag = run_dag(
        "recovers",
        select=["engagement_daily"],
        schedule=None,
        project=says(first, then),
        default_args={"retry_delay": 0},
    )
    before = len(told_assets())
    done = tried(dag)
    assert str(done.state) == "success"
    assert len(called(tmp_path)) == 2
    assert sorted(name for name, _ in told_assets()[before:]) == sorted(MARTS)


def test_what_fails_for_good_fails_its_mart_and_the_run(says: Says) -> None:
    broken = run(1, dict.fromkeys(MARTS, "new"), {MARTS[0]: "error", MARTS[1]: "skipped"})
    dag = run_dag(
        *("fails",),
        select=["engagement_daily"],
        schedule=None,
        project=says(broken),
        default_args={"retries": 0},
    )
    done = tried(dag)
    states = {each.task_id: str(each.state) for each in done.get_task_instances()}
    assert str(done.state) == "failed"
    assert states["run"] == states[MARTS[0]] == states["outcome"] == "failed"
    assert states[MARTS[1]] == "skipped"


def test_parameters_and_secrets_are_no_text_of_a_command(
    says: Says, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_SNOW",
        json.dumps(
            {
                "conn_type": "snowflake",
                "login": "tide",
                "password": "s3cret",
                "extra": {"account": "acme-1", "warehouse": "W", "role": "R", "database": "D"},
            }
        ),
    )
    unchanged = run(99, dict.fromkeys(MARTS, "unchanged"), {})
    project = says(unchanged, target="snowflake", connection="snow", env={"LOG_LEVEL": "info"})
    flags = ["--vars", "{a: '; rm -rf $HOME'}"]
    dag = run_dag(
        "quotes", select=["engagement_daily"], schedule=None, project=project, flags=flags
    )
    done = tried(dag)
    assert {str(each.state) for each in done.get_task_instances()} == {"skipped"}
    (call,) = called(tmp_path)
    assert call["arguments"] == [
        *("run", "--select", "engagement_daily", "--skip-exit-code", "99", *flags),
        *("--target", "snowflake", "--json"),
    ]
    assert call["env"]["SNOWFLAKE_PASSWORD"] == "s3cret"
    assert call["env"]["SNOWFLAKE_ACCOUNT"] == "acme-1"
    assert call["env"]["LOG_LEVEL"] == "info"
    assert not [name for name in call["env"] if name.startswith(("AIRFLOW", "PYTHONPATH"))]


def test_a_key_pair_of_a_connection_is_passed_on() -> None:
    extra = {"account": "a", "private_key_content": "LS0tLS1CRUdJTi0tLS0t"}
    connection = SimpleNamespace(login="tide", password="phrase", extra_dejson=extra)
    assert snowflake_environment(connection) == {
        "SNOWFLAKE_ACCOUNT": "a",
        "SNOWFLAKE_USER": "tide",
        "SNOWFLAKE_PRIVATE_KEY": "-----BEGIN-----",
        "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE": "phrase",
    }


def test_a_pod_gets_its_arguments_one_by_one(says: Says, tmp_path: Path) -> None:
    command = "tidemark"
    pod = Pod("registry/tidemark:1", options={"namespace": "data"})
    project = says(run(3, {MARTS[0]: "blocked"}, {}), target="snowflake", pod=pod)
    dag = run_dag("pods", select=["engagement_daily"], schedule=None, project=project)
    task = dag.get_task("run")
    task.render_template_fields({"params": {"as_of": "2025-10-15T13:00:00; exit"}})
    # what asks a cluster
    hook = Mock(is_in_cluster=False)
    hook.get_namespace.return_value = "data"
    for asked in ("image", "resources", "security_context"):
        getattr(hook, f"get_xcom_sidecar_container_{asked}").return_value = None
    task.__dict__["hook"] = hook
    container = task.build_pod_request_obj().spec.containers[0]
    assert (container.image, container.working_dir) == ("registry/tidemark:1", "/tidemark")
    assert container.args == [
        *("run", "--select", "engagement_daily", "--skip-exit-code", "99"),
        *("--as-of=2025-10-15T13:00:00; exit", "--target", "snowflake", "--json"),
    ]
    # what the pod does, done here
    result = tmp_path / "return.json"
    script = [each.replace("/airflow/xcom/return.json", str(result)) for each in container.command]
    script[-1] = str(tmp_path / command)
    subprocess.run([*script, *container.args], check=True)
    assert json.loads(result.read_text())["exit_code"] == 3
    assert called(tmp_path)[0]["arguments"] == container.args


def test_a_log_shows_what_was_found_planned_and_repaired() -> None:
    found = {"model": "visits", "entity": "7", "state": "missing", "decision": "planned"}
    gaps = {"gaps": [{**found, "first": "2025-10-05", "last": "2025-10-07"}], "failures": []}
    assert sentences(gaps) == ["visits 7: 2025-10-05 to 2025-10-07: missing"]
    repaired = {"day": "2025-10-07", "repaired": 1, "failed": 0, "failures": []}
    plan = {"plan": [found, {**found, "decision": "over the cap"}], "repairs": [repaired]}
    assert sentences(plan) == ["1 planned, 1 over the cap", "2025-10-07: 1 repaired, 0 failed"]
    assert sentences({"plan": [], "repairs": []}) == ["Nothing planned."]


def test_without_a_manifest_it_is_said_what_to_do(tmp_path: Path) -> None:
    project = Project(tmp_path, "tidemark", tmp_path / "manifest.json")
    with pytest.raises(FileNotFoundError, match="dbt parse"):
        run_dag("none", schedule=None, project=project)

"""Set-up installs with uv what pip would have, from where pip would have it."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def install() -> ModuleType:
    """The script, which is no part of the package: it runs before anything is installed."""
    spec = importlib.util.spec_from_file_location("install", PROJECT / ".ci" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_uv_is_told_what_pip_is(install: ModuleType) -> None:
    listed = (
        ":env:.index-url='file:///environment'\n"
        ":env:.disable-pip-version-check='1'\n"
        "global.index-url='file:///etc'\n"
        "global.extra-index-url='file:///a\\nfile:///b=c'\n"
        "global.find-links='/wheels /more'\n"
        "global.timeout='60'\n"
    )
    assert install.settings_of_uv(listed) == {
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_DEFAULT_INDEX": "file:///environment",
        "UV_INDEX": "file:///a file:///b=c",
        "UV_FIND_LINKS": "/wheels,/more",
        "UV_HTTP_TIMEOUT": "60",
    }


def test_what_uv_has_no_word_for_is_left_to_pip(install: ModuleType) -> None:
    assert install.settings_of_uv("global.proxy='http://localhost:1'\n") is None
    assert install.settings_of_uv("") == {"UV_INDEX_STRATEGY": "unsafe-best-match"}


@pytest.mark.parametrize(
    ("fails", "calls"),
    [
        (None, ["config", "uv==1.2.3", "uv"]),
        ("config", ["config"]),
        ("uv==1.2.3", ["config", "uv==1.2.3"]),
        ("uv", ["config", "uv==1.2.3", "uv"]),
    ],
)
def test_what_fails_on_the_way_is_told(
    install: ModuleType,
    fails: str | None,
    calls: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("uvicorn==9\nuv==1.2.3   # via tidemark\n")
    called: list[str] = []

    def run(command: list[Any], **_: Any) -> SimpleNamespace:
        name = Path(command[0]).name
        called.append(
            "config" if "config" in command else "uv" if name == "uv" else str(command[-1])
        )
        return SimpleNamespace(returncode=int(called[-1] == fails), stdout="")

    monkeypatch.setattr(subprocess, "run", run)
    assert install.with_uv(requirements) == (fails is None)
    assert called == calls

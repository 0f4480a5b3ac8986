"""One ground and one page for all faults."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .ground import PROJECT, Ground
from .page import Page


@pytest.fixture(scope="session")
def _ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    before = dict(os.environ)
    yield Ground(tmp_path_factory.mktemp("faults"))
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def ground(_ground: Ground) -> Ground:
    """Two domains after the first run."""
    _ground.restore()
    return _ground


@pytest.fixture(scope="session")
def page(_ground: Ground) -> Page:
    """docs/faults.md, when it is asked for by TIDEMARK_FAULTS_PAGE."""
    asked_for = os.environ.get("TIDEMARK_FAULTS_PAGE")
    return Page(PROJECT / asked_for if asked_for else None, Path(_ground.home))

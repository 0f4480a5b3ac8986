"""One ground and one page for all faults."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from .ground import AT_LENGTH, PROJECT, Ground
from .page import Page


@pytest.fixture(scope="session")
def _ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    before = dict(os.environ)
    yield Ground(tmp_path_factory.mktemp("faults"))
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def place(_ground: Ground) -> Ground:
    """Of whatever domains its test restores."""
    return _ground


@pytest.fixture
def ground(_ground: Ground) -> Ground:
    """Two domains after the first run."""
    _ground.restore()
    return _ground


@pytest.fixture(scope="session")
def page(_ground: Ground) -> Page:
    """docs/faults.md, for `make test-faults`."""
    return Page(PROJECT / "docs" / "faults.md" if AT_LENGTH else None, _ground.home)

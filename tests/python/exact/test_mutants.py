"""The test of the differential test: it finds every planted fault."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from .mutants import MUTANTS, Hunt, Mutant, hunt
from .project import ROOT
from .rounds import in_processes


@pytest.fixture(scope="module")
def hunts(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Hunt]]]:
    """All hunts that were asked for, a few at a time."""
    asked_for = {item.name for item in request.session.items}
    with in_processes() as pool:
        yield {
            mutant.name: pool.submit(hunt, mutant)
            for mutant in MUTANTS
            if any(mutant.name in name for name in asked_for)
        }
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_fault_fits_the_project_as_it_is(mutant: Mutant) -> None:
    for patch in mutant.patches:
        patch.applied((ROOT / patch.file).read_text())


@pytest.mark.mutants
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_differential_test_finds(
    mutant: Mutant, hunts: dict[str, Future[Hunt]], capsys: pytest.CaptureFixture[str]
) -> None:
    result = hunts[mutant.name].result()
    assert result.difference, f"{result.examples} histories did not show it"
    with capsys.disabled():
        first = result.difference.splitlines()[0].split(", with")[0]
        print(f"\n{mutant.name}: found in history {result.examples} ({first})", end=" ")


@pytest.mark.mutants
def test_it_finds_nothing_where_no_fault_is() -> None:
    with in_processes() as pool:
        result = pool.submit(hunt, Mutant("no fault"), 2).result()
    assert not result.difference

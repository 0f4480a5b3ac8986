"""The differential test with its steps on an emulated Snowflake; definitions and full refreshes
stay DuckDB's. `TIDEMARK_EXAMPLES` sets how many histories are played, `TIDEMARK_SEED` which."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest
from exact.replay import replay
from exact.rounds import drawn, play_rounds

pytestmark = [
    pytest.mark.snowflake,
    pytest.mark.skipif(sys.version_info < (3, 11), reason="fakesnow needs Python 3.11"),
    # Minutes, for what the end to end shows of the project already.
    pytest.mark.skipif("TIDEMARK_EXAMPLES" not in os.environ, reason="only by make test-snowflake"),
]

EXAMPLES = int(os.environ.get("TIDEMARK_EXAMPLES", 0))
SEED = int(os.environ.get("TIDEMARK_SEED", random.randrange(10**6)))

# A round of consumers, learners and the web: sessions and what is built on them.
USUAL = (1,)


@pytest.mark.skipif(EXAMPLES > 0, reason="TIDEMARK_EXAMPLES asks for more of them")
@pytest.mark.parametrize("number", USUAL)
def test_a_short_history_is_exact(number: int, tmp_path: Path) -> None:
    from exact.emulated import EmulatedProject

    history = drawn(number)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBT_LOG_PATH", str(tmp_path / "logs"))
        replay(history, EmulatedProject(history.domains, tmp_path / "target"), tmp_path)


@pytest.mark.skipif(EXAMPLES == 0, reason="only when TIDEMARK_EXAMPLES asks for it")
def test_histories_are_exact(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEMARK_EXACT_TARGET", "snowflake")
    examples = 0
    for played in play_rounds(SEED, EXAMPLES):
        if played.failure:
            again = f"TIDEMARK_SEED={played.seed} TIDEMARK_EXAMPLES=1 pytest -m snowflake"
            pytest.fail(f"{played.failure}\nAgain: {again}", pytrace=False)
        examples += played.examples
    with capsys.disabled():
        print(f"\n{examples} histories on the emulated Snowflake, seed {SEED}: 0 differences")

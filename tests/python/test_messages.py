"""The lines of a failure that people get to see; dbt's messages as dbt 1.11 sends them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tidemark.build import failures_of
from tidemark.engine import DbtError, Outcome
from tidemark.lineage import Lineage
from tidemark.messages import in_one_line, telling_lines

MACROS = "\n  > in macro assert_columns_equivalent (macros/x.sql)\n  > called by model m (m.sql)"
CONTRACT = (
    """Compilation Error in model m (models/m.sql)
  This model has an enforced contract that failed.
  Please ensure the name, data_type, and number of columns in your contract match the columns in \
your model's definition.
  \n  | column_name | definition_type | contract_type | mismatch_reason    |
  | ----------- | --------------- | ------------- | ------------------ |
  | company_id  | INTEGER         | VARCHAR       | data type mismatch |
  \n"""
    + MACROS
)
OUT_OF_SYNC = (
    """Compilation Error in model m (models/m.sql)
  \n                The source and target schemas on this incremental model are out of sync!
                They can be reconciled in several ways:
                  - set the `on_schema_change` config to either append_new_columns or \
sync_all_columns.
                  - Re-run the incremental model with `full_refresh: True` to update the \
target schema.
                  - update the schema manually and re-run the process.
  \n                Additional troubleshooting context:
                   Source columns not in target: [DuckDBColumn(column='events', dtype='BIGINT', \
char_size=None, numeric_precision=None, numeric_scale=None, fields=[])]
                   Target columns not in source: [SnowflakeColumn(column='COUNT', dtype='NUMBER', \
char_size=None, numeric_precision=38, numeric_scale=0)]
                   New column types: []
            \n  """
    + MACROS
)
BINDER = """Runtime Error in model stg (models/staging/stg.sql)
  Binder Error: Referenced column "events" not found in FROM clause!
  Candidate bindings: "event_id", "event_count"
  \n  LINE 20:             when company_id is null then 'company_id is...
           ^^^^^^"""


@pytest.mark.parametrize(
    ("message", "lines"),
    [
        (
            CONTRACT,
            [
                "Compilation Error in model m (models/m.sql)",
                "This model has an enforced contract that failed.",
                "| column_name | definition_type | contract_type | mismatch_reason    |",
                "| company_id  | INTEGER         | VARCHAR       | data type mismatch |",
            ],
        ),
        (
            OUT_OF_SYNC,
            [
                "Compilation Error in model m (models/m.sql)",
                "The source and target schemas on this incremental model are out of sync!",
                "Source columns not in target: [events (BIGINT)]",
                "Target columns not in source: [COUNT (NUMBER)]",
            ],
        ),
        (BINDER, [line.strip() for line in BINDER.splitlines() if line.strip()]),
        ("Got 1 result, configured to fail if != 0", ["Got 1 result, configured to fail if != 0"]),
    ],
)
def test_the_lines_that_matter(message: str, lines: list[str]) -> None:
    result = SimpleNamespace(
        node=SimpleNamespace(name="m", resource_type="model"), status="error", message=message
    )
    (failure,) = failures_of([result], Lineage.__new__(Lineage))
    assert [line.strip() for line in failure.message.splitlines()] == lines
    assert in_one_line(message) == " ".join(" ".join(lines).split())


def test_a_call_that_fails_says_it_once_and_without_colours() -> None:
    outcome = Outcome()
    for text in [
        "2 of 2 ERROR creating sql model m ... [\x1b[31mERROR\x1b[0m in 0.49s]",
        "\x1b[31mFailure in model m (models/m.sql)\x1b[0m",
        CONTRACT,
        CONTRACT,
    ]:
        heard: Any = SimpleNamespace(info=SimpleNamespace(msg=text, level="error"))
        outcome.hear(heard)
    with pytest.raises(DbtError) as refused:
        outcome.raise_if_failed()
    assert str(refused.value) == telling_lines(CONTRACT)


def test_what_is_left_out_is_counted() -> None:
    columns = [f"| column_{number} | INTEGER | VARCHAR |" for number in range(50)]
    shown = telling_lines("\n".join(["Compilation Error", *columns])).splitlines()
    assert (shown[0], shown[-1]) == ("Compilation Error", columns[-1])
    assert shown[8].strip() == "... 39 more lines in logs/dbt.log ..."
    assert len(shown) == 13

    value = "Conversion Error: Could not convert '" + "x" * 1_000_000 + "' to INT32"
    shown = telling_lines(value).splitlines()
    assert len(shown) == 1
    assert len(shown[0]) < 500
    assert shown[0].startswith("Conversion Error: Could not convert 'x")
    assert shown[0].endswith("x' to INT32")

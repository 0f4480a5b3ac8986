"""A dozen models, each with one test and its own mistake: what an audit has to refuse.

They are right until a call of dbt says `wrong`, as code is until somebody changes it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orders_project import ROOT

_PARTITIONS = """
{{ config(
    materialized='incremental', incremental_strategy='partitions', on_schema_change='fail'
) }}

with movements as (

    select * from {{ ref('stg_movements') }}
    where {{ tidemark.touched_partitions(
        ref('stg_movements'), entity='buyer', day='sales_day'
    ) }}
    qualify {{ tidemark.latest_version(ref('stg_movements')) }}

)

select
    buyer, sales_day, count(*) as movements, sum(amount) as net_amount, 'open' as state,
    buyer || ' ' || sales_day as day_key
from movements
where not is_void
group by buyer, sales_day
"""

_DUPLICATED = "select days.* from days cross join (select 1 as n union all select 2) as twice"

# What only an audit of the project's own knows: a row, and a whole table.
OWN_TESTS = {
    "counts": """
{% test counts(model, column_name) %}
select buyer, sales_day, {{ column_name }} from {{ model }} where {{ column_name }} < 1
{% endtest %}
""",
    "at_most": """
{% test at_most(model, total_of, most) %}
select sum({{ total_of }}) as total from {{ model }} having sum({{ total_of }}) > {{ most }}
{% endtest %}
""",
}


@dataclass(frozen=True)
class Audited:
    """A model: its test, as YAML, and the query over `days` that makes the mistake."""

    name: str
    test: dict[str, Any]
    wrong: str
    column: str | None = None
    # Of which it is one, when it is no model of partitions.
    kind: str = "partitions"

    def files(self) -> dict[str, str]:
        """The model and its YAML."""
        return {f"{self.name}.sql": self._sql(), f"{self.name}.yml": json.dumps(self._yaml())}

    def _sql(self) -> str:
        right = _PARTITIONS
        if self.kind != "partitions":
            right = (ROOT / "examples/orders/models" / f"{self.kind}.sql").read_text()
            right = right.replace("{{ tidemark.as_of() }} as record_loaded_at", "1 as one")
        head, query = right.split("}}", 1)
        switch = "{% if var('wrong', false) %}"
        wrong = f"select * from ({self.wrong}) as wrong_rows"
        return (
            f"{head}}}}}\n\nwith days as (\n{query}\n)\n\n{switch}\n{wrong}\n{{% else %}}\n"
            "select * from days\n{% endif %}\n"
        )

    def _yaml(self) -> dict[str, Any]:
        tests = [self.test]
        model: dict[str, Any] = {"name": self.name}
        if self.column:
            model["columns"] = [{"name": self.column, "data_tests": tests}]
        else:
            model["data_tests"] = tests
        return {"models": [model]}


def _test(name: str, config: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    return {name: {"arguments": arguments, **({"config": config} if config else {})}}


def _null(column: str) -> str:
    return f"select * replace (case when false then {column} end as {column}) from days"


REFUSED = [
    Audited("is_there", _test("not_null"), _null("net_amount"), "net_amount"),
    Audited(
        "is_known",
        _test("accepted_values", values=["open"]),
        "select * replace ('odd' as state) from days",
        "state",
    ),
    Audited("is_single", _test("unique"), _DUPLICATED, "day_key"),
    Audited(
        "is_related",
        _test("relationships", to="ref('stg_movements')", field="buyer"),
        "select * replace ('nobody' as buyer) from days",
        "buyer",
    ),
    Audited(
        "is_in_range",
        _test("dbt_utils.accepted_range", min_value=-100),
        "select * replace (net_amount - 1000 as net_amount) from days",
        "net_amount",
    ),
    Audited(
        "is_true",
        _test("dbt_utils.expression_is_true", expression="movements > 0"),
        "select * replace (movements * 0 as movements) from days",
    ),
    Audited(
        "is_one_combination",
        _test(
            "dbt_utils.unique_combination_of_columns", combination_of_columns=["buyer", "sales_day"]
        ),
        _DUPLICATED,
    ),
    # The new rows have no pair among themselves: only what is stored of others tells.
    Audited(
        "is_one_over_days",
        _test("tidemark.one_row_per", columns=["day_key"]),
        "select * replace ('bob 2025-03-02' as day_key) from days"
        " {{ 'limit 1' if is_incremental() else '' }}",
    ),
    # dbt's own words for what fails, and for what does not.
    Audited(
        "is_there_where",
        _test(
            "not_null",
            {"where": "state = 'open'", "error_if": ">0", "warn_if": ">0", "limit": 1},
        ),
        _null("net_amount"),
        "net_amount",
    ),
    Audited(
        "is_not_often_wrong",
        _test("unique", {"fail_calc": "coalesce(sum(n_records), 0)", "error_if": "> 1"}),
        _DUPLICATED,
        "day_key",
    ),
    Audited(
        "is_counted",
        _test("counts"),
        "select * replace (movements * 0 as movements) from days",
        "movements",
    ),
    Audited(
        "adds_up",
        _test("at_most", total_of="net_amount", most=400),
        "select * replace (net_amount * 0 + 150 as net_amount) from days",
    ),
    Audited("replayed", _test("not_null"), _null("balance"), "balance", "buyer_balances"),
    Audited("in_sessions", _test("not_null"), _null("net_amount"), "net_amount", "visits"),
]


def write(project: Path, models: Sequence[Audited] = REFUSED) -> None:
    """Models and their tests, in a copy of `examples/orders`."""
    folder, tests = project / "models" / "audited", project / "tests" / "generic"
    folder.mkdir(parents=True)
    tests.mkdir(parents=True)
    for model in models:
        for name, text in model.files().items():
            (folder / name).write_text(text)
    for name, text in OWN_TESTS.items():
        (tests / f"{name}.sql").write_text(text)
    packages = "packages: [{local: tidemark}, {local: dbt_utils}]\n"
    (project / "packages.yml").write_text(packages)
    offline = ROOT / "packages" / "dbt_utils_offline"
    (project / "dbt_packages" / "dbt_utils").symlink_to(offline)

"""One asset per model, one check per test; the gate says which of them a run materializes."""

from collections.abc import Iterator, Mapping
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    Failure,
    MaterializeResult,
)
from dagster_dbt import DagsterDbtTranslator, dbt_assets

from tidemark_dagster.command import FAILED, SKIPPED, Clock, manifest, selecting, tidemark


class Translator(DagsterDbtTranslator):
    """Assets are called as their models are, for dbt's names are unique."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> AssetKey:
        """A source keeps its schema's name: a model may be called as it is."""
        if dbt_resource_props["resource_type"] == "source":
            return AssetKey([dbt_resource_props["source_name"], dbt_resource_props["name"]])
        return AssetKey(dbt_resource_props["name"])


@dbt_assets(
    manifest=manifest(),
    name="tidemark_run",
    exclude="resource_type:seed resource_type:unit_test",
    dagster_dbt_translator=Translator(),
    pool="tidemark",
)
def marts(context: AssetExecutionContext, config: Clock) -> Iterator[Any]:
    """What is new is built, with all of its tests; of the rest the reason is told."""
    chosen = {key.path[-1] for key in context.selected_asset_keys}
    names = selecting(sorted(chosen)) if context.is_subset else []
    told = tidemark(
        *("run", *names, "--skip-exit-code", str(SKIPPED)), as_of=config.as_of, log=context.log
    )
    built = {each["model"] for each in _built(told)}
    for each in _built(told):
        key, metadata = AssetKey(each["model"]), _figures(told, each)
        if key in context.selected_asset_keys:
            yield MaterializeResult(asset_key=key, metadata=metadata)
        else:
            # above what was chosen, and as new
            context.log_event(AssetMaterialization(asset_key=key, metadata=metadata))
    for each in told["models"]:
        if each["model"] not in built:
            state = "not built" if each["state"] == "new" else each["state"]
            metadata = {"state": state, "reason": each["reason"], "clock": told["as_of"]}
            context.log_event(
                AssetObservation(
                    asset_key=AssetKey(each["model"]),
                    description=each["reason"],
                    metadata=metadata,
                )
            )
    yield from _checks(context, told)
    if told["exit_code"] == FAILED:
        failures = (told["build"] or {}).get("failures", [])
        words = " ".join(f"{each['node']}: {each['message']}" for each in failures)
        raise Failure(f"{words or 'The run failed.'} What succeeded is complete and recorded.")


def _built(told: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    models = (told["build"] or {}).get("models", [])
    return [each for each in models if each["status"] == "success"]


def _figures(told: Mapping[str, Any], built: Mapping[str, Any]) -> dict[str, Any]:
    reasons = {each["model"]: each["reason"] for each in told["models"]}
    figures = {
        "dagster/row_count": built["rows"] if built["mode"] == "full" else None,
        "rows": built["rows"],
        "partitions": built["partitions"],
        # up to here all that was loaded is in it
        "watermark": told["as_of"],
        "reason": reasons.get(built["model"]),
        "mode": built["mode"],
        "seconds": built["seconds"],
    }
    return {name: value for name, value in figures.items() if value is not None}


def _checks(context: AssetExecutionContext, told: Mapping[str, Any]) -> Iterator[AssetCheckResult]:
    specs = {key.name: key for key in context.selected_asset_check_keys}
    for each in (told["build"] or {}).get("checks", []):
        if each["test"] in specs and each["status"] != "skipped":
            is_warning = each["status"] == "warn"
            yield AssetCheckResult(
                check_name=each["test"],
                asset_key=specs[each["test"]].asset_key,
                passed=each["status"] == "pass",
                severity=AssetCheckSeverity.WARN if is_warning else AssetCheckSeverity.ERROR,
                metadata={"message": each["message"]} if each["message"] else {},
            )

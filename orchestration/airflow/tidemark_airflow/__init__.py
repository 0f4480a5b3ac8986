"""Tidemark in Airflow: a small factory of DAGs that call the command line and show what it says."""

from tidemark_airflow.factory import backfill_dag, mart, repair_dag, run_dag
from tidemark_airflow.project import Pod, Project

__all__ = ["Pod", "Project", "backfill_dag", "mart", "repair_dag", "run_dag"]

"""Consumers: each day, and any window on request."""

from tidemark_airflow import backfill_dag, run_dag

etl = run_dag("consumer_analytics_etl", select=["consumers"], schedule="@daily")
backfill = backfill_dag("consumer_analytics_backfill", select=["consumers"])

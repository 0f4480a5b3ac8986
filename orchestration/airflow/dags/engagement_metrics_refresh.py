"""Engagement, each hour at the minute at which `tidemark cadence` found that rows wait least."""

from tidemark_airflow import run_dag

dag = run_dag("engagement_metrics_refresh", select=["engagement"], schedule="5 * * * *")

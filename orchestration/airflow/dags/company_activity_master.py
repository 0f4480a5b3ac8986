"""Companies, each night: the CRM, then the usage API (yesterday is asked again), then the marts."""

from tidemark_airflow import run_dag

dag = run_dag(
    "company_activity_master", select=["company"], ingest=["crm", "usage"], schedule="0 0 * * *"
)

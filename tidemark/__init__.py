"""Tidemark's command line: a thin layer that invokes dbt and reads what dbt leaves behind."""

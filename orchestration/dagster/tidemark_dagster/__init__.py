"""Tidemark in Dagster: its command line called, and what it says shown as Dagster's events."""

from tidemark_dagster.definitions import defs

__all__ = ["defs"]

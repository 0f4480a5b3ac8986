"""The commands. They read their options, call the pipeline and show what came of it.

Everything that is slow to import is imported inside a command, so that help and usage errors are
instant.
"""

"""Bringing data in: answers of the usage API, CRM files and events, as files in a landing area.

Nothing here opens the warehouse; `tidemark load` takes what has landed there.
"""


class IngestError(Exception):
    """What stops an ingest job as a whole: what is wrong, where, and what to do next."""

"""What all tests begin with."""

import os
from collections.abc import Iterator
from uuid import uuid4

import pytest

# readline, which pytest imports, puts it into the environment of parallel workers: 80 columns,
# though nobody looks at a terminal.
os.environ.pop("COLUMNS", None)


@pytest.fixture(scope="session")
def _object_store() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(_object_store: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket of an S3 of the tests' own, which the environment leads to."""
    import fsspec

    monkeypatch.setenv("AWS_ENDPOINT_URL", _object_store)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    name = f"b-{uuid4().hex}"
    fsspec.filesystem("s3", use_listings_cache=False).mkdir(name)
    return f"s3://{name}"

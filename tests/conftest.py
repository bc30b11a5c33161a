"""Fixtures that several areas share."""

from collections.abc import Iterator

import pytest

from gseg.storage import objects as store

_SHARED_RAY = {"local_ray", "cluster"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say what `-n 2` must give to one and the same process.

    These are the tests that share a Ray (see `tests/distributed/conftest.py`), so that it is
    started once, and otherwise the tests of a file, which may share fixtures.
    """
    for item in items:
        shares = not _SHARED_RAY.isdisjoint(getattr(item, "fixturenames", ()))
        item.add_marker(
            pytest.mark.xdist_group("ray" if shares else item.nodeid.partition("::")[0])
        )


@pytest.fixture(scope="session")
def object_store() -> Iterator[str]:
    """The address of an object store on this machine's loopback that speaks S3."""
    server = pytest.importorskip("moto.server", reason="moto is not installed")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(object_store, tmp_path_factory, monkeypatch) -> Iterator[str]:
    """An empty bucket, as ``s3://...``, and a cache of this test's own."""
    for name, value in {
        "AWS_ENDPOINT_URL": object_store,
        "AWS_ACCESS_KEY_ID": "anyone",
        "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_DEFAULT_REGION": "us-east-1",
        "GSEG_CACHE": str(tmp_path_factory.mktemp("cache")),
    }.items():
        monkeypatch.setenv(name, value)
    store._client.cache_clear()
    name = tmp_path_factory.mktemp("bucket").name
    store.client().create_bucket(Bucket=name)
    yield f"s3://{name}"
    store._client.cache_clear()

"""Fixtures that several areas share."""

from collections.abc import Iterator

import pytest

from gseg.storage import objects as store


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """Say which tests `-n 2` gives to the same process, in the order of their names.

    All that share a Ray (see `tests/distributed/conftest.py`), so that each kind is started once;
    otherwise those of a file, which share fixtures. Groups by marker are no way to say so:
    pytest-xdist 3.8 loses them under pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "a shared Ray" if file.rpartition("/")[0].endswith("distributed") else file

    config.option.loadscopereorder = False  # or the longest group starts behind larger ones
    return Scheduling(config, log)


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

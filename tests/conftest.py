"""Fixtures that several areas share, and what tests on a graphics card need.

`pytest -m gpu` runs the tests that prove that a card computes what the CPU does; without a card
`GSEG_TEST_DEVICE=cpu pytest -m gpu` rehearses all of them. PyTorch is imported where it is needed:
not every process that reads this file runs tests.
"""

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from typing import TYPE_CHECKING

import pytest

from gseg.storage import mirror as store

if TYPE_CHECKING:
    import torch

DEVICE = "GSEG_TEST_DEVICE"
ON_CARD = pytest.StashKey[bool]()
"""Whether a test of this process was given a card."""


# Shells have what runs in their background ignore Ctrl-C, and commands that tests stop inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


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


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Remember nothing of tests' files in the user's own cache, nor in processes they start."""
    os.environ["GSEG_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _own_weights() -> Iterator[None]:
    """Folders of weights that a command was told hold for the rest of its process."""
    yield
    catalogue = sys.modules.get("gseg.generators.catalogue")
    if catalogue is not None:
        catalogue._chosen = None


@pytest.fixture
def device(request: pytest.FixtureRequest) -> Iterator["torch.device"]:
    """The device of tests marked `gpu`: a card, or what GSEG_TEST_DEVICE names.

    On a card TF32 is off: tolerances are the CPU's, and TF32 misses them a hundredfold.
    """
    import torch

    from gseg.exactness import exact

    named = os.environ.get(DEVICE)
    if not named and not torch.cuda.is_available():
        pytest.skip(f"needs a CUDA device; {DEVICE}=cpu rehearses on the CPU")
    chosen = torch.device(named or "cuda")
    if chosen.type != "cuda":
        yield chosen
        return
    request.config.stash[ON_CARD] = True
    with exact():
        yield chosen


@pytest.fixture(params=["cpu", pytest.param("card", marks=pytest.mark.gpu)])
def each_device(request: pytest.FixtureRequest) -> "torch.device":
    """The CPU, and for tests marked `gpu` their device."""
    import torch

    return torch.device("cpu") if request.param == "cpu" else request.getfixturevalue("device")


@pytest.fixture
def forbid_waiting(device: "torch.device") -> Callable[[], AbstractContextManager[None]]:
    """Makes contexts in which whatever waits for the card raises, except waiting for an event.

    Other devices have no such mode.
    """
    import torch

    @contextmanager
    def forbidden() -> Iterator[None]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the mode is a prototype
            torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")

    return forbidden if device.type == "cuda" else nullcontext


class Steps:
    """The progress of a loop whose steps must not wait for the device after the first one.

    Args:
        forbid: The fixture `forbid_waiting`.
        free: How many steps at the end may wait.

    Attributes:
        done: The steps that were told.
    """

    def __init__(self, forbid: Callable[[], AbstractContextManager[None]], free: int = 0) -> None:
        self.done: list[int] = []
        self._forbid, self._free, self._stack = forbid, free, ExitStack()

    def __call__(self, step: int, total: int) -> None:
        """Hear of a step."""
        self.done.append(step)
        if step == 1:  # from here on nothing is made for the first time
            self._stack.enter_context(self._forbid())
        if step == total - self._free:
            self.close()

    def close(self) -> None:
        """Allow waiting again."""
        self._stack.close()


@pytest.fixture
def steps_without_waiting(
    forbid_waiting: Callable[[], AbstractContextManager[None]],
) -> Iterator[Callable[..., Steps]]:
    """Makes a `Steps`; waiting is allowed again after the test, however it ends."""
    with ExitStack() as made:
        yield lambda **options: made.enter_context(closing(Steps(forbid_waiting, **options)))


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """PyTorch on one thread, as trials run."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def card_allocations(config: pytest.Config) -> int | None:
    """How often tests of this process asked for memory of the card; None if none had a card."""
    if not config.stash.get(ON_CARD, False):
        return None
    import torch

    if not torch.cuda.is_initialized():
        return 0
    return torch.cuda.memory_stats()["allocation.all.allocated"]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Let a run fail that was to use a card and did not."""
    if exitstatus == pytest.ExitCode.OK and card_allocations(session.config) == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say whether the card was used: nothing is computed there without memory for the result."""
    count = card_allocations(config)
    if count is not None:
        terminalreporter.write_line(f"kernels on the card: {count} (PyTorch's allocations there)")


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

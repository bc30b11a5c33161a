"""Work in this process, and what is handed over."""

from dataclasses import dataclass

import pytest
from fake_backend import FakeBackend

from gseg.pipeline.jobs.job import HandsOver, Job, run_missing


@dataclass(frozen=True)
class Squares(Job[int]):
    device: str = "cpu"

    def missing(self):
        return [1, 2, 3]

    def size(self, part):
        return part

    def seconds(self, parts):
        return 10.0 * len(parts)

    def open(self):
        def do(part, listen):
            listen(part)
            return part**2

        return do


def test_only_large_work_is_handed_over_to_a_backend_that_starts_once_needed():
    started = []

    def start():
        started.append(FakeBackend())
        return started[-1]

    backend, job, heard = HandsOver("cpu", start, 25.0), Squares(), []
    assert backend.run(job, [1, 2], heard.append) == {1: 1, 2: 4}
    assert backend.run(job, [], heard.append) == {}
    assert not started
    assert backend.run(job, job.missing(), heard.append) == {1: 1, 2: 4, 3: 9}
    assert started[0].ran == [(job, [1, 2, 3])]
    assert heard == [1, 2, 1, 2, 3]
    assert HandsOver("cpu", start, 0.0).run(job, [], heard.append) == {}
    assert len(started) == 1


def test_units_become_progress():
    heard = []

    def progress(done, total):
        heard.append((done, total))

    backend = FakeBackend()
    assert run_missing(Squares(), 10, backend, progress) == {1: 1, 2: 4, 3: 9}
    assert heard == [(5, 10), (7, 10), (10, 10)]
    run_missing(Squares(), 10, backend, progress, at_once=True)
    assert heard[3:] == [(4, 10), (5, 10), (7, 10), (10, 10)]


def test_a_failing_hook_ends_the_work():
    def refuse(job, parts):
        raise ValueError(f"no part {parts[0]}")

    with pytest.raises(ValueError, match="no part 3"):
        FakeBackend(before=refuse).run(Squares(), [3], lambda units: None)

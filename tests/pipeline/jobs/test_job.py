"""Who does work, units as they are heard, and a device that is not there."""

from dataclasses import dataclass

import pytest
from fake_backend import FakeBackend

from gseg import cli
from gseg.commands.app import run as run_app
from gseg.commands.run import recipes_app
from gseg.pipeline.jobs.job import HandsOver, Job, run_missing
from gseg.pretraining import train


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
    assert heard == [(4, 10), (5, 10), (7, 10), (10, 10)]


def test_a_failing_hook_ends_the_work():
    def refuse(job, parts):
        raise ValueError(f"no part {parts[0]}")

    with pytest.raises(ValueError, match="no part 3"):
        FakeBackend(before=refuse).run(Squares(), [3], lambda units: None)


COMMANDS = (
    "segment picture.png --out masks",
    "samples draw analytic.ellipses32 --count 1",
    "directions choose analytic.ellipses32 --out directions",
    "fid analytic.ellipses32",
    "fid analytic.ellipses32 --actors 2",
    "embed scenes:2 --encoder bigbigan.scenes32-large --out embeddings.npy",
)


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch, tmp_path):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "picture.png").touch()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_gpu_costs_one_line(command, capsys, tmp_path):
    assert cli.main([*command.split(), "--device", "cuda"]) == 2
    shown = capsys.readouterr().err
    assert shown == (
        "gseg: --device cuda, but PyTorch finds no GPU on this machine: leave --device out.\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


def test_so_do_recipes_of_directions(capsys, tmp_path):
    words = ["table_9", "--generators", "analytic.ellipses32", "--gpus-per-trial", "1"]
    assert run_app(recipes_app(), words) == 2
    assert "sees no GPU on this machine" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


def test_so_does_the_training_of_generators(capsys):
    with pytest.raises(SystemExit, match="2"):
        train.main(["biggan.scenes32", "--device", "cuda:1"])
    assert "--device cuda:1, but PyTorch finds no GPU" in capsys.readouterr().err

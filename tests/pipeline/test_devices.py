"""Every command that computes says in one line that there is no GPU."""

import pytest

from gseg import cli
from gseg.commands.app import run as run_app
from gseg.commands.run import recipes_app
from gseg.pretraining import train

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

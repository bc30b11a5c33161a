"""Commands whose work is shared by actors: what one process writes, byte for byte."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gseg.cli import main
from gseg.directions.direction import Direction
from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.generators import catalogue
from gseg.generators.analytic import analytic_generator, known_direction
from gseg.generators.catalogue import use_weights, weights_folder
from gseg.pipeline.jobs import predict
from gseg.pipeline.jobs.job import Job
from gseg.scenes.pictures import render

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray", "one_thread")]


def contents(folder: Path, pattern: str) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob(pattern)}


def test_the_folder_of_weights_reaches_processes_elsewhere(tmp_path, monkeypatch):
    @dataclass(frozen=True)
    class WhereWeightsAre(Job[str]):
        device: str = "cpu"

        def size(self, part):
            return 1

        def seconds(self, parts):
            return 0.0

        def open(self):
            return lambda part, listen: str(weights_folder())

    backend = RayBackend(Resources(placement="cluster", actors=1))
    for choose in (use_weights, lambda folder: monkeypatch.setenv("GSEG_WEIGHTS", str(folder))):
        monkeypatch.setattr(catalogue, "_chosen", None)
        choose(tmp_path)
        assert os.environ.get("GSEG_WEIGHTS") in (None, str(tmp_path))
        heard = []
        found = backend.run(WhereWeightsAre(), [0, 4], heard.append)
        assert found == {0: str(tmp_path), 4: str(tmp_path)}
        assert heard == [1, 1]
    backend._blind = True
    assert backend.call(lambda: {"folder": str(weights_folder())}) == {"folder": str(tmp_path)}


def test_samples_are_the_same(tmp_path, capsys):
    vector = known_direction(analytic_generator(32))
    Direction(lighter=vector, darker=-vector).save(tmp_path / "direction")
    words = ("samples", "draw", "analytic.ellipses32", "--batch", "16", "--count", "500")
    words += ("--direction", str(tmp_path / "direction"))
    for name, more in (("alone", ()), ("shared", ("--actors", "2"))):
        assert main([*words, "--out", str(tmp_path / name), *more]) == 0
    alone, shared = (contents(tmp_path / name, "shard-*.parquet") for name in ("alone", "shared"))
    assert len(alone) > 1
    assert alone.items() <= shared.items()  # actors may have begun one more


def test_masks_are_the_same(tmp_path, capsys, monkeypatch):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    scenes = (
        render(range(predict.SEGMENTED_AT_ONCE + 2), resolution=40)
        .pictures.permute(0, 2, 3, 1)
        .numpy()
    )
    for number, picture in enumerate(scenes):
        Image.fromarray(picture[: 30 + number % 3]).save(pictures / f"{number}.png")
    (pictures / "1.png").write_bytes(b"no picture")
    monkeypatch.chdir(tmp_path)  # paths are those of this process
    said = []
    for name, more in (("alone", ()), ("shared", ("--actors", "2"))):
        words = ["segment", "pictures", "--out", name, "--overlay", *more]
        assert main(words) == 1
        said.append(capsys.readouterr().out.replace(name, "OUT"))
    assert said[0] == said[1]
    assert said[0].startswith("skipped: Cannot read picture pictures/1.png")
    alone = contents(tmp_path / "alone", "*.png")
    assert len(alone) == 2 * (predict.SEGMENTED_AT_ONCE + 1)
    assert alone == contents(tmp_path / "shared", "*.png")


def test_what_is_wrong_with_a_part_is_one_line(tmp_path, capsys):
    (tmp_path / "pictures").mkdir()
    Image.fromarray(np.zeros((40, 40, 3), dtype=np.uint8)).save(tmp_path / "pictures" / "a.png")
    (tmp_path / "pictures" / "b.png").write_bytes(b"no picture")
    words = ["embed", str(tmp_path / "pictures"), "--encoder", "bigbigan.scenes32-large"]
    said = []
    for more in ((), ("--actors", "1")):
        assert main([*words, "--out", str(tmp_path / "e.npy"), *more]) == 2
        said.append(capsys.readouterr().err)
    assert said[0] == said[1]
    assert "b.png" in said[0]
    assert said[0].endswith("--skip-bad.\n")
    network = tmp_path / "none.safetensors"
    torch.save({}, network)
    words = ["segment", str(tmp_path / "pictures"), "--out", str(tmp_path / "out")]
    said = []
    for more in ((), ("--actors", "1")):
        assert main([*words, "--model", str(network), *more]) == 2
        said.append(capsys.readouterr().err)
    assert said[0] == said[1]
    assert said[0].count("\n") == 1

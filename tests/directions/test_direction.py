"""A direction survives its files and says what is wrong with them."""

import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from gseg.directions.direction import Direction
from gseg.generators.analytic import analytic_generator


@pytest.fixture
def direction() -> Direction:
    return Direction(
        lighter=torch.tensor([0.6, 0.8, 0.0]),
        darker=torch.tensor([-0.6, 0.0, 0.8]),
        provenance={"generator": "sngan.scenes32", "config": {"contrast_weight": 5.0}},
        losses={"lighter_edges": torch.tensor([0.3, 0.2, 0.1])},
    )


def test_round_trip_is_exact(direction: Direction, tmp_path: Path) -> None:
    direction.save(tmp_path / "new" / "folder")
    loaded = Direction.load(tmp_path / "new" / "folder")
    assert torch.equal(loaded.lighter, direction.lighter)
    assert torch.equal(loaded.darker, direction.darker)
    assert loaded.provenance == direction.provenance
    assert torch.equal(loaded.losses["lighter_edges"], direction.losses["lighter_edges"])


def test_files_are_plain_and_nothing_else_is_left(direction: Direction, tmp_path: Path) -> None:
    direction.save(tmp_path)
    direction.save(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"direction.safetensors", "direction.json", "losses.parquet"}
    assert pq.read_table(tmp_path / "losses.parquet").column_names == ["lighter_edges"]


def test_a_direction_without_curves_can_be_saved(tmp_path: Path) -> None:
    unit = torch.eye(4)[0]
    Direction(lighter=unit, darker=-unit).save(tmp_path)
    assert Direction.load(tmp_path).losses == {}


def test_cosine(direction: Direction) -> None:
    assert direction.cosine == pytest.approx(-0.36)


def test_wrong_latent_size_is_explained(direction: Direction) -> None:
    with pytest.raises(ValueError, match=r"3 coordinates.*sngan\.scenes32.*ellipses32.*8"):
        direction.check(analytic_generator())
    unit = torch.eye(8)[0]
    Direction(lighter=unit, darker=-unit).check(analytic_generator())


@pytest.mark.parametrize("name", ["direction.safetensors", "direction.json", "losses.parquet"])
def test_missing_or_damaged_file_is_named(direction: Direction, tmp_path: Path, name: str) -> None:
    direction.save(tmp_path)
    (tmp_path / name).write_bytes(b"\x00\x01 not this")
    with pytest.raises(ValueError, match=name):
        Direction.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=name):
        Direction.load(tmp_path)


def test_only_unit_vectors_of_one_length_are_accepted() -> None:
    unit = torch.eye(3)[0]
    with pytest.raises(ValueError, match="norm 2"):
        Direction(lighter=unit, darker=2 * unit)
    with pytest.raises(ValueError, match="norm nan"):
        Direction(lighter=unit * math.nan, darker=unit)
    with pytest.raises(ValueError, match="one length"):
        Direction(lighter=unit, darker=torch.eye(4)[0])

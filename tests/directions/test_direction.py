"""A direction survives its files, those of the official programs are read, and damage is told."""

import math
import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from gseg.directions.colour_maps import ColourMaps
from gseg.directions.direction import Direction, direction_from_official, read_official_vector
from gseg.generators.analytic import analytic_generator

# Saved with torch.save(dict(state_dict={"d": (1, 12)}, iteration=300, cfg=<OmegaConf>)).
LATEST = Path(__file__).parents[1] / "data" / "directions" / "latest.pth"


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


def test_latest_file_with_its_configuration_is_read() -> None:
    vector = read_official_vector(LATEST)
    assert vector.shape == (12,)
    assert vector.norm().item() == pytest.approx(1)
    expected = torch.tensor([-0.0442, 0.2365, 0.2848, -0.3352])
    torch.testing.assert_close(vector[:4], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("zipped", [True, False])
def test_bare_tensor_is_read_and_normalised(tmp_path: Path, zipped: bool) -> None:
    raw = torch.randn(1, 120, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "bg_direction.pth"
    torch.save(raw, path, _use_new_zipfile_serialization=zipped)
    torch.testing.assert_close(read_official_vector(path), raw[0] / raw.norm())


def test_two_files_make_a_direction_and_one_is_mirrored() -> None:
    both = direction_from_official(LATEST, LATEST, generator="bigbigan.imagenet128")
    assert both.cosine == pytest.approx(1)
    one = direction_from_official(LATEST, generator="bigbigan.imagenet128")
    assert one.cosine == pytest.approx(-1)
    assert one.provenance["darker_file"] is None


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return (os.mkdir, (str(self.marker),))


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    marker, path = tmp_path / "ran", tmp_path / "latest.pth"
    torch.save({"state_dict": {"d": torch.ones(1, 3)}, "cfg": Malicious(marker)}, path)
    with pytest.raises(ValueError, match="latest"):
        read_official_vector(path)
    assert not marker.exists()


def test_other_content_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": {"conv.weight": torch.ones(2)}}, path)
    with pytest.raises(ValueError, match=r"weights\.pth holds no direction"):
        read_official_vector(path)
    torch.save(torch.ones(3, 4), path)
    with pytest.raises(ValueError, match=r"\(3, 4\)"):
        read_official_vector(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"Cannot read direction file .*weights\.pth"):
        read_official_vector(path)
    with pytest.raises(ValueError, match="missing"):
        read_official_vector(tmp_path / "missing.pth")


def test_numbers_of_another_kind_are_refused(direction: Direction) -> None:
    unit = torch.eye(3)[0]
    with pytest.raises(ValueError, match=r"lighter vector .* torch\.int64, expected floating"):
        Direction(lighter=unit.long(), darker=unit)
    weights = torch.zeros(1, 2, 3, 4)
    weights[0, 1, 0, 0] = float("inf")
    with pytest.raises(ValueError, match="'operators' holds NaN or infinity"):
        replace(direction, operators=ColourMaps(weights=weights, clamped=False))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("direction.json", b"[1, 2]"),
        ("direction.json", b"null"),
        ("direction.json", b'{"a": "\xff"}'),
        ("direction.json", b"[" * 100_000),
        ("losses.parquet", pa.table({"lighter_edges": ["a", "b"]})),
        ("losses.parquet", pa.table({"lighter_edges": [0.5, None]})),
        ("losses.parquet", pa.table({"lighter_edges": [[0.5], [0.5]]})),
    ],
)
def test_every_file_of_a_direction_is_named(
    direction: Direction, tmp_path: Path, name: str, content: object
) -> None:
    direction.save(tmp_path)
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        pq.write_table(content, tmp_path / name)
    with pytest.raises(ValueError, match=f"Cannot read direction file {tmp_path / name}"):
        Direction.load(tmp_path)


@pytest.mark.parametrize("kind", [torch.float64, torch.float16])
def test_vectors_of_another_precision_become_float32(
    direction: Direction, tmp_path: Path, kind: torch.dtype
) -> None:
    direction.save(tmp_path)
    vectors = {"lighter": direction.lighter.to(kind), "darker": direction.darker.to(kind)}
    save_file(vectors, tmp_path / "direction.safetensors")
    loaded = Direction.load(tmp_path)
    assert loaded.lighter.dtype == loaded.darker.dtype == torch.float32
    torch.testing.assert_close(loaded.lighter, direction.lighter, atol=1e-3, rtol=0)

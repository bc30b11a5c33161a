"""Directions in the store: optimised or chosen, their candidates and their colour maps."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from gseg.directions.affine import two_affine_ratio
from gseg.directions.candidates import load_candidates
from gseg.directions.codes import shifted_pictures
from gseg.directions.config import (
    AffineConfig,
    CandidateConfig,
    ChoiceConfig,
    DirectionConfig,
    SearchConfig,
)
from gseg.directions.direction import Direction
from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.generators.analytic import analytic_generator
from gseg.pipeline.graph import Workshop
from gseg.pipeline.progress import Report, silent
from gseg.pipeline.stages.directions import DirectionNode, GivenDirection, prepared_direction
from gseg.samples.config import SampleConfig
from gseg.storage.store import Artifact, Store

GENERATOR = "analytic.ellipses32"
CHOICE = ChoiceConfig(
    candidates=CandidateConfig(kind="random", count=5),
    epsilon=1.0,
    pictures=4,
    affine=AffineConfig(steps=20),
)


@pytest.fixture(scope="module")
def backend() -> RayBackend:
    return RayBackend(Resources(placement="process"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def node_of(search: DirectionConfig) -> DirectionNode:
    return DirectionNode(generator=GENERATOR, search=search, device="cpu")


def make_direction(
    store: Store, search: DirectionConfig, backend: RayBackend, report: Report = silent
) -> Artifact:
    return Workshop(store, backend, report).make(node_of(search))


def test_a_chosen_direction_is_one_of_its_candidates(store: Store, backend: RayBackend) -> None:
    steps = []
    made = make_direction(
        store, CHOICE, backend, lambda stage, done, total, _="": steps.append((stage, done))
    )
    assert ("direction", 20) in steps
    direction = Direction.load(made.folder)
    (folder,) = (store.root / "candidates").iterdir()
    vectors = load_candidates(folder)
    turned = -1 if made.facts["border_vote"] > 0.5 else 1
    torch.testing.assert_close(direction.lighter, turned * vectors[made.facts["number"]])
    table = pd.read_parquet(made.folder / "candidates.parquet")
    (line,) = table[table.chosen].to_dict("records")
    assert line["number"] == made.facts["number"]
    assert line["distance"] == pytest.approx(made.facts["distance"])
    assert line["distance"] == table[table.eligible].distance.max()
    assert made.facts["candidates_seconds"] >= 0


def test_rules_share_candidates_and_what_is_there_is_found(
    store: Store, backend: RayBackend
) -> None:
    first = make_direction(store, CHOICE, backend)
    other = replace(CHOICE, rule="affine_ratio")
    second = make_direction(store, other, backend)
    assert first.digest != second.digest
    assert len(list((store.root / "candidates").iterdir())) == 1
    looking = Workshop(replace(store, read_only=True))
    again = looking.find(node_of(CHOICE))
    assert again is not None
    assert again.reused
    assert again.digest == first.digest
    assert looking.find(node_of(CHOICE.with_seed(1))) is None


def test_an_optimised_direction_is_explained_by_the_same_maps(
    store: Store, backend: RayBackend
) -> None:
    config = SearchConfig(steps=3, batch=4)
    made = make_direction(store, config, backend)
    lighter = Direction.load(made.folder).lighter
    shown = shifted_pictures(analytic_generator(), lighter[None], range(64))
    ratio = two_affine_ratio(*shown)[0]
    assert made.facts["two_affine_ratio"] == pytest.approx(ratio.item(), rel=1e-3)
    assert 0 < made.facts["restoration_loss"] < made.facts["distance"]


def test_masks_by_colour_maps_get_the_direction_with_its_maps(
    store: Store, backend: RayBackend
) -> None:
    found, shop = node_of(CHOICE), Workshop(store, backend)
    samples = SampleConfig(mask_kind="lighter", epsilon=1.0)
    assert prepared_direction(GENERATOR, found, samples, "cpu") is found
    affine = replace(samples, mask_kind="affine")
    nodes = (
        found,
        prepared_direction(GENERATOR, found, affine, "cpu"),
        prepared_direction(GENERATOR, found, replace(affine, epsilon=2.0), "cpu"),
    )
    direction, fitted, longer = map(shop.make, nodes)
    assert len({direction.digest, fitted.digest, longer.digest}) == 3
    plain, coloured = Direction.load(direction.folder), Direction.load(fitted.folder)
    assert plain.operators is None
    assert coloured.operators.weights.shape == (1, 2, 3, 4)
    assert torch.equal(plain.lighter, coloured.lighter)
    assert coloured.provenance["operators"]["epsilon"] == 1
    assert Direction.load(longer.folder).provenance["operators"]["epsilon"] == 2


def test_a_chosen_threshold_is_the_direction_s_whatever_is_drawn_with_it(
    store: Store, backend: RayBackend
) -> None:
    found, shop = node_of(CHOICE), Workshop(store, backend)
    samples = SampleConfig(mask_threshold="choose")
    assert prepared_direction(GENERATOR, found, replace(samples, mask_threshold="otsu"), "cpu") is (
        found
    )
    node, other, longer = (
        prepared_direction(GENERATOR, found, each, "cpu")
        for each in (samples, replace(samples, seed=3, batch=8), replace(samples, epsilon=2.0))
    )
    assert shop.name(node) == shop.name(other) != shop.name(longer)
    made = shop.make(node)
    assert set(made.facts) == {"chosen", "ratios", "shares"}
    chosen = Direction.load(made.folder)
    assert chosen.provenance["mask_threshold"] == made.facts
    assert torch.equal(chosen.lighter, Direction.load(shop.make(found).folder).lighter)


@pytest.mark.parametrize("number", [float("nan"), 3.0])
def test_a_given_direction_is_looked_at_before_anything_is_made(tmp_path, number):
    unit = torch.eye(4)[0]
    Direction(lighter=unit, darker=-unit).save(tmp_path)
    save_file({"lighter": number * unit, "darker": -unit}, tmp_path / "direction.safetensors")
    with pytest.raises(ValueError, match=r"direction\.safetensors: The lighter vector has norm"):
        GivenDirection(given=tmp_path).config(None)

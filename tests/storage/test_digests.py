"""Configs to their JSON form and back."""

import json
from dataclasses import dataclass, field, replace
from typing import Literal

import pytest

from gseg.directions.config import ChoiceConfig, DirectionConfig, SearchConfig
from gseg.recipes.grids import grids
from gseg.recipes.melas2022 import all_gans
from gseg.samples.config import LatentConfig, SampleConfig, filter_preset
from gseg.storage.digests import canonical, restore


@dataclass(frozen=True, kw_only=True, slots=True)
class _Nested:
    direction: DirectionConfig | None = None
    pairs: tuple[tuple[int, str], ...] = ()
    kind: Literal["a", "b"] | None = None
    place: str = field(default="", compare=False)


def there_and_back(config):
    return restore(type(config), json.loads(json.dumps(canonical(config))))


@pytest.mark.parametrize(
    "config",
    [
        SampleConfig(),
        SampleConfig(
            mask_kind="affine",
            filters=filter_preset("melas2022_program"),
            latents=LatentConfig(classes=(3, 1), class_weights=(0.5, 2.0)),
        ),
        SampleConfig(latents=LatentConfig(truncation=0.7), filters=filter_preset("none")),
        _Nested(),
        _Nested(direction=SearchConfig(steps=3), pairs=((1, "x"), (2, "y")), kind="b"),
        _Nested(direction=ChoiceConfig(), place="here"),
        *all_gans(grids()["smoke"], {})[:2],
    ],
)
def test_what_comes_back_is_what_was_reduced(config):
    assert there_and_back(config) == config
    assert type(there_and_back(config)) is type(config)


def test_what_is_not_part_of_the_content_may_be_added():
    config = LatentConfig(embeddings="here.npy", embeddings_digest="abc", alpha=0.5)
    told = canonical(config)
    with pytest.raises(ValueError, match="need their file"):
        restore(LatentConfig, told)
    assert restore(LatentConfig, {**told, "embeddings": "there.npy"}) == config


def test_older_content_takes_defaults_and_newer_is_refused():
    told = canonical(replace(SampleConfig(), seed=4))
    del told["picture_format"]
    assert restore(SampleConfig, told) == SampleConfig(seed=4)
    with pytest.raises(TypeError, match="colour"):
        restore(SampleConfig, {**told, "colour": [1]})

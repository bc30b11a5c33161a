"""All published generators at full size, without memory: every key is used, every tensor filled."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gseg.generators.cards import PUBLISHED, PublishedGenerator
from gseg.generators.checkpoints import plan
from gseg.generators.family import apply_key_map

FILE = Path(__file__).parents[1] / "data" / "generators" / "manifests.json.gz"
MANIFESTS: dict[str, Any] = json.loads(gzip.decompress(FILE.read_bytes()))


def stored(manifest: dict[str, Any]) -> dict[str, Tensor]:
    """Give a manifest's tensors without memory."""
    dtypes = {"float32": torch.float32, "int64": torch.int64}
    return {
        key: torch.empty(shape, dtype=dtypes[dtype], device="meta")
        for key, shape, dtype in manifest["state_dict"]
    }


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: entry.card.name)
def test_cards_fit_the_published_files(entry: PublishedGenerator) -> None:
    family, dataset = entry.card.name.split(".")
    family = family.replace("biggandeep", "biggan_deep")
    model = f"stylegan2-{entry.card.resolution}" if family == "stylegan2" else f"{family}-{dataset}"
    found = {name: manifest for name, manifest in MANIFESTS.items() if name.startswith(f"{model}/")}
    assert found
    for manifest in found.values():
        tensors = stored(manifest)
        numbers = {**manifest["config"], **entry.config.get("config", {})}
        stated = {**entry.config, "config": numbers}
        network, key_map = plan(entry.config["family"], stated, tensors)
        apply_key_map(key_map, tensors)
        config, card = network.config, entry.card
        assert config.architecture == card.architecture
        assert (config.resolution, config.latent_dim) == (card.resolution, card.latent_dim)
        assert config.num_classes == card.num_classes


def test_all_published_generators_are_here() -> None:
    assert len(MANIFESTS) == 27


@pytest.mark.parametrize("name", MANIFESTS)
def test_key_map_uses_each_key_once_and_fills_each_tensor(name: str) -> None:
    manifest = MANIFESTS[name]
    tensors = stored(manifest)
    network, key_map = plan(manifest["family"], manifest, tensors)
    uses = Counter(key for source in key_map.values() for key in source.keys)
    assert set(uses) == set(tensors)
    assert set(uses.values()) == {1}
    state = apply_key_map(key_map, tensors)
    expected = network.state_dict()
    assert list(state) == list(expected)
    for key, tensor in expected.items():
        assert state[key].shape == tensor.shape, key
        assert state[key].dtype == tensor.dtype, key
    network.load_state_dict(state, strict=True, assign=True)
    count = sum(parameter.numel() for parameter in network.parameters())
    if manifest["family"] != "bigbigan":  # of whose shared embedding one row is kept
        assert count == manifest["parameters"]

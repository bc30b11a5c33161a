"""What stages cost: one-thread seconds, and bytes of samples.

The rates are good to a factor of two: enough to decide where a stage runs and to say how long a
sweep takes. Those of a CPU are measured on one thread of a server's of 2024, those of a GPU on an
H100 (`results/gpu`) or, where it says so, assumed.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import torch
from torch.utils.flop_counter import FlopCounterMode

from gseg.directions.config import AffineConfig, CandidateConfig, ChoiceConfig
from gseg.generators.catalogue import cached_generator
from gseg.scores.baselines import CHAIN_SIDE
from gseg.scores.specs import CHAINS
from gseg.segmenters.config import FitConfig, Precision

# Floating-point operations a second of a generator's forward pass, as samples are drawn. H100, in
# float32: 1.9 to 2.4e13 for all architectures but StyleGAN2 of 1,024 px, 1.0e13.
_DRAW_FLOPS: Final = {"cpu": 6e10, "cuda": 2e13}
# steps x batch x pixels x width**2 a second of a U-Net's training, by device and precision.
_FIT_UNITS: Final[Mapping[tuple[str, Precision], float]] = {
    ("cpu", "bfloat16"): 2.5e8,
    ("cpu", "float32"): 1.4e8,
    ("cuda", "bfloat16"): 2e11,
    ("cuda", "float32"): 4e10,
}
# Forward passes for a candidate: the picture and one shifted picture.
_FORWARDS: Final = 2.0
# Pixels a second of scoring, reading included; that of a GPU is assumed.
_SCORE_PIXELS: Final = {"cpu": 2e6, "cuda": 5e7}
# Pixels a second of a rule that looks at colours, and of GrabCut.
_RULE_PIXELS, _GRABCUT_PIXELS = 5e6, 4e5
# Cost of a search's step for each latent, in forward passes.
_DIRECTION_FACTOR: Final = 6.0
# Cost of a step of learning directions against a search's: one shifted picture instead of two, and
# the network that tells shifts apart.
_LEARNT_FACTOR: Final = 1.0

# Share of candidates that filters accept, until it is measured.
_ACCEPTANCE: Final = 0.7
_JPEG_SHARE: Final = 0.4
_ROW_BYTES: Final = 64
# Features of a picture of scenes, generated or rendered; a GPU's are assumed.
_FEATURE_SECONDS: Final = {"cpu": 5e-4, "cuda": 1e-4}
# Features of a picture by the Inception network or a ResNet-50; a GPU's are assumed.
_BACKBONE_SECONDS: Final = {"cpu": 0.25, "cuda": 1e-3}
# Reading and encoding a photograph, on any device: decoding it takes most of that.
_EMBED_SECONDS: Final = 5e-3
# Reading, segmenting and writing a picture: 0.02 s with the network that ships, 0.4 s with one of
# the published width, as much again for a photograph of 6 megapixels; a GPU's are assumed.
_SEGMENT_SECONDS: Final = {"cpu": 0.2, "cuda": 0.05}


@lru_cache(maxsize=256)
def generator_flops(generator: str) -> int:
    """Count the floating-point operations of one picture; the generator is loaded for that."""
    model = cached_generator(generator, "cpu")
    z = torch.zeros(1, model.card.latent_dim)
    y = torch.zeros(1, dtype=torch.int64) if model.card.num_classes else None
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(model.code(z), y)
    return int(counter.get_total_flops())


def draw_seconds(generator: str, candidates: int, device: str) -> float:
    """Estimate drawing candidates, in one-thread seconds of the device."""
    return _FORWARDS * candidates * generator_flops(generator) / _DRAW_FLOPS[device]


def sampling_seconds(generator: str, samples: int, acceptance: float | None, device: str) -> float:
    """Estimate drawing samples, in one-thread seconds of the device.

    Args:
        generator: Catalogue name.
        samples: That are to be accepted.
        acceptance: Share of candidates that filters accept; None while it is not known.
        device: Kind of device.

    Returns:
        Seconds.
    """
    return draw_seconds(generator, round(samples / (acceptance or _ACCEPTANCE)), device)


def sample_bytes(side: int, picture_format: str = "exact") -> float:
    """Estimate what a sample takes on the disk: its picture, its mask, and a line about it."""
    share = 1.0 if picture_format == "exact" else _JPEG_SHARE
    return 3 * side**2 * share + side**2 / 8 + _ROW_BYTES


def direction_seconds(generator: str, steps: int, batch: int, device: str) -> float:
    """Estimate a search for a direction, in one-thread seconds of the device."""
    work = _DIRECTION_FACTOR * steps * batch * generator_flops(generator)
    return work / _DRAW_FLOPS[device]


def choosing_seconds(generator: str, config: ChoiceConfig, device: str) -> float:
    """Estimate choosing among candidates that are there, in one-thread seconds of the device."""
    each = config.pictures or _affine_pictures(config.affine)
    pictures = (config.candidates.count + 1) * each  # and once more without a shift
    return draw_seconds(generator, round(pictures / _FORWARDS), device)


def candidates_seconds(generator: str, config: CandidateConfig, device: str) -> float:
    """Estimate making candidate directions, in one-thread seconds of the device."""
    if config.learnt is not None:
        learnt = config.learnt
        return _LEARNT_FACTOR * direction_seconds(generator, learnt.steps, learnt.batch, device)
    if config.kind == "pca":
        return draw_seconds(generator, round(config.samples / _FORWARDS), device)
    return 0.0  # random vectors, and axes of the latent space: no picture is made


def operators_seconds(generator: str, config: AffineConfig, device: str) -> float:
    """Estimate fitting colour maps to a direction, in one-thread seconds of the device."""
    return draw_seconds(generator, _affine_pictures(config), device)


def _affine_pictures(config: AffineConfig) -> int:
    return (config.steps + config.test_batches) * config.batch


def fit_seconds(config: FitConfig, side: int, device: str) -> float:
    """Estimate a training on pictures of this side, in one-thread seconds of the device."""
    work = config.steps * config.batch * side**2 * config.width**2
    return work / _FIT_UNITS[device, config.precision]


def score_seconds(pictures: int, working_size: int | None, device: str) -> float:
    """Estimate scoring a benchmark, in one-thread seconds of the device."""
    # 1.5: photographs of 3:2.
    return pictures * (working_size or 128) ** 2 * 1.5 / _SCORE_PIXELS[device]


def rule_seconds(rule: str, pictures: int, side: int) -> float:
    """Estimate a rule's masks of squares of this side, in one-thread seconds; "" is no rule."""
    if not rule:
        return 0.0
    if rule in CHAINS:
        return pictures * max(side, CHAIN_SIDE) ** 2 / _GRABCUT_PIXELS
    return pictures * side**2 / (_GRABCUT_PIXELS if rule == "grabcut" else _RULE_PIXELS)


def features_seconds(generator: str, pictures: int, features: str, device: str) -> float:
    """Estimate taking the features of pictures, in one-thread seconds of the device.

    Args:
        generator: Catalogue name of what makes them; empty for pictures that are there.
        pictures: How many.
        features: Name of the feature network.
        device: Kind of device.

    Returns:
        Seconds.
    """
    rates = _FEATURE_SECONDS if features == "scenes" else _BACKBONE_SECONDS
    made = draw_seconds(generator, pictures, device) / _FORWARDS if generator else 0.0
    return made + pictures * rates[device]


def embed_seconds(pictures: int) -> float:
    """Estimate finding the latents of pictures, in one-thread seconds."""
    return pictures * _EMBED_SECONDS


def segment_seconds(pictures: int, device: str) -> float:
    """Estimate writing the masks of a user's pictures, in one-thread seconds of the device."""
    return pictures * _SEGMENT_SECONDS[device]

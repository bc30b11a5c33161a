"""How a segmenter is trained: the settings of both papers, of their programs, and of the scenes.

Imports torch only to ask what a device's hardware multiplies natively.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, get_args

from gseg.words import unknown

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "bfloat16"]
PresetName = Literal["paper", "paper_long", "official", "embedded"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FitConfig:
    """Everything that decides the bits of a trained segmenter, besides the pairs it sees.

    The defaults are those of Melas-Kyriazi et al. 2022, appendix B.1, and Voynov et al. 2021,
    section 3.5.

    Attributes:
        steps: Updates of the segmenter by Adam.
        batch: Pairs in an update, over all replicas.
        learning_rate: Learning rate of the segmenter at the start.
        decay_at: Update from which the learning rate is multiplied by decay_factor; None: never.
        decay_factor: See decay_at.
        width: Channels of the U-Net at full resolution.
        depth: How often the U-Net halves the resolution.
        seed: Seed of the segmenter's initial weights and of the order of its pairs.
        precision: Of the forward and backward pass in training; weights, optimiser and loss stay
            float32, and so does prediction.
        validate_every: Steps between two measurements on the held-out pairs, if any are given;
            0: after the last step only.
        threads: Of PyTorch on a CPU while training; another number may change the last bits.
        shuffle_window: Of a larger set than this, the next pair is always among so many
            consecutive ones (`gseg.randomness.training_order`), and a reader needs to hold no
            more; smaller sets are shuffled as a whole. Generated pairs follow one another
            independently, so that nothing is lost by it.
        replicas: Processes that share each step: each takes every n-th pair of it, gradients are
            weighted by share and averaged. Batch normalisation sees each replica's own pairs, so
            another number of replicas is another training.
        compiled: Whether the forward and backward pass in training goes through `torch.compile`,
            which rounds differently and spends up to minutes before the first step. It pays on
            GPUs in long trainings; it needs a C++ compiler on a CPU, and does not pay there.
    """

    steps: int = 12_000
    batch: int = 95
    learning_rate: float = 1e-3
    decay_at: int | None = 8_000
    decay_factor: float = 0.2
    width: int = 64
    depth: int = 4
    seed: int = 0
    precision: Precision = "float32"
    validate_every: int = 1_000
    threads: int = 1
    shuffle_window: int = 16_384
    replicas: int = 1
    compiled: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "width", "depth", "threads", "shuffle_window", "replicas"):
            _require(name, getattr(self, name), at_least=1)
        for name in ("seed", "validate_every"):
            _require(name, getattr(self, name), at_least=0)
        if self.decay_at is not None:
            _require("decay_at", self.decay_at, at_least=1)
        if not (0 < self.learning_rate < float("inf") and 0 < self.decay_factor <= 1):
            raise ValueError(
                f"learning_rate must be positive and decay_factor in (0, 1], got "
                f"{self.learning_rate} and {self.decay_factor}."
            )
        if self.precision not in get_args(Precision):
            raise ValueError(
                f"precision must be one of {', '.join(get_args(Precision))}, got "
                f"{self.precision!r}."
            )
        if self.replicas > self.batch:
            raise ValueError(
                f"{self.replicas} replicas cannot share a batch of {self.batch}; choose at most "
                "as many replicas as there are pairs in a batch."
            )

    def with_steps(self, steps: int) -> "FitConfig":
        """Give the same training with another number of steps; it decays at the same share."""
        decay_at = self.decay_at and max(1, round(self.decay_at * steps / self.steps))
        return replace(self, steps=steps, decay_at=decay_at)

    def learning_rate_at(self, step: int) -> float:
        """Say the learning rate of a step; they are numbered from 0."""
        decayed = self.decay_at is not None and step >= self.decay_at
        return self.learning_rate * (self.decay_factor if decayed else 1.0)


def _require(name: str, value: int, *, at_least: int) -> None:
    if not isinstance(value, int) or value < at_least:
        raise ValueError(f"{name} must be a whole number of at least {at_least}, got {value!r}.")


FIT_PRESETS: Final[Mapping[PresetName, FitConfig]] = MappingProxyType(
    {
        "paper": FitConfig(),
        # Melas-Kyriazi et al. 2022, Table 14.
        "paper_long": FitConfig(steps=20_000),
        # Their program; its learning rate never decays.
        "official": FitConfig(steps=18_000, batch=128, decay_at=None),
        # Scenes of 32 pixels, in some seven seconds on one core. Depth (2 to 4) and learning rate
        # (2e-3 to 1e-2) were chosen on scenes with true masks, steps and batch (8 to 32) by
        # held-out generated pairs: half the pictures of 300 steps of 32 gave .81 for .82.
        "embedded": FitConfig(
            steps=375,
            batch=16,
            learning_rate=3e-3,
            decay_at=250,
            width=16,
            depth=3,
            validate_every=125,
        ),
    }
)


def fit_preset(name: str, *, device: "str | torch.device" = "cpu") -> FitConfig:
    """Look up the settings of a source.

    Args:
        name: ``paper``, ``paper_long``, ``official`` or ``embedded``.
        device: Where the training will run: ``embedded`` takes the precision that suits it, from
            `native_precision`. The papers' settings are float32, as published.

    Raises:
        ValueError: There is no such preset.
    """
    for known, config in FIT_PRESETS.items():
        if known == name:
            own = known == "embedded"
            return replace(config, precision=native_precision(device)) if own else config
    raise ValueError(unknown("training preset", name, FIT_PRESETS))


def native_precision(device: "str | torch.device") -> Precision:
    """Name the faster precision of a device, from what its hardware multiplies natively.

    Args:
        device: ``cpu`` or ``cuda``, with or without a number.

    Returns:
        bfloat16 on GPUs since Ampere (taken for granted where this machine has none: the training
        will run on another) and on CPUs with AVX-512 BF16 or AMX, otherwise, or where PyTorch
        cannot tell, float32.
    """
    import torch  # here: two seconds, which a command line's help should not take

    device = torch.device(device)
    if device.type == "cuda":
        there = torch.cuda.is_available()
        native = not there or torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        ask = getattr(torch.cpu, "get_capabilities", dict)  # since PyTorch 2.10 or so
        found: dict[str, object] = ask()
        native = device.type == "cpu" and bool(found.get("avx512_bf16") or found.get("amx_bf16"))
    return "bfloat16" if native else "float32"

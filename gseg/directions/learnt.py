"""Learn candidate directions.

Voynov and Babenko 2020, "Unsupervised Discovery of Interpretable Directions in the GAN Latent
Space", section 3. Directions (the deformator) and a network that tells them apart (the
reconstructor) are trained together: a latent is shifted along a random direction by a random
length, and the network, seeing both pictures, predicts the direction's number and the length. What
is easy to tell apart is different to look at.

Every draw is a function of seed and step, and the checkpoint holds weights, batch statistics and
Adam's moments: an interrupted training goes on exactly where it was. (The official program's
forgets the moments.)
"""

import io
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gseg.directions.codes import Progress, codes_and_labels
from gseg.directions.config import DeformatorKind, LearntConfig, ReconstructorKind
from gseg.exactness import exact
from gseg.generators.contract import Generator
from gseg.randomness import derive_seed, uniforms
from gseg.storage.digests import canonical, digest
from gseg.storage.files import write_atomically
from gseg.transfers import send

_TEST_STEPS: Final = 100
# A training that is killed loses a twentieth of itself at most.
_CHECKPOINTS: Final = 20
# What the file of an unfinished training begins with, before a checksum of the rest.
_SEAL: Final = b"gseg.learnt.crc32"
_LENET_SIDES: Final = range(32, 65)
# LeNet's widths against the original's, as in the official program.
_WIDTH: Final = 2
_NOISE: Final = 0.1


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LearntDirections:
    """What a training gives.

    Attributes:
        vectors: (K, D) float32 unit vectors on the CPU.
        accuracy: Share of held-out shifts whose direction the reconstructor names, its batch
            normalisation in evaluation mode.
        losses: (steps,) of the training.
    """

    vectors: Tensor
    accuracy: float
    losses: Tensor


@exact()
@torch.enable_grad()
def learn_directions(
    generator: Generator,
    count: int,
    config: LearntConfig,
    *,
    seed: int = 0,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> LearntDirections:
    """Learn directions that a network can tell apart.

    Args:
        generator: A frozen generator; its device does the work.
        count: Directions wanted; at most as many as codes are wide are learnt.
        config: Settings.
        seed: Of start, latents and shifts.
        checkpoint: File that keeps the unfinished training; one that is there is taken up.
        progress: Called after each step.

    Raises:
        UnfinishedError: The checkpoint is damaged, or of another training.
        ValueError: The loss stopped being finite.
    """
    training = _Training(generator, min(count, generator.card.code_dim), config, seed)
    identity = digest(generator.card.name, count, canonical(config), seed)
    done = 0
    if checkpoint is not None and checkpoint.exists():
        done = training.restore(checkpoint, identity)
    every = max(1, config.steps // _CHECKPOINTS)
    for step in range(done, config.steps):
        training.step(step)
        done = step + 1
        if done == config.steps or done % every == 0:
            training.check(done)  # a loss that is not finite is not kept
            if checkpoint is not None:
                training.save(checkpoint, identity, done)
        if progress is not None:
            progress(done, config.steps)
    return training.outcome()


class UnfinishedError(ValueError):
    """A file is no unfinished training, is damaged, or is another one's; the message names it."""


class Deformator(nn.Module):
    """K unit vectors of a code space, made from free parameters.

    Args:
        kind: ``orthogonal``: the first K columns of the exponential of a skew-symmetric matrix;
            ``linear``: free columns, divided by their norms.
        count: Directions K, at most `dim`.
        dim: Width D of codes.
        stream: Gives the start: a random rotation, or the unit matrix with noise.
    """

    def __init__(self, kind: DeformatorKind, count: int, dim: int, stream: torch.Generator) -> None:
        super().__init__()
        self._kind, self._count = kind, count
        if kind == "orthogonal":
            start = torch.randn(dim, dim, generator=stream)
        else:
            start = torch.eye(count, dim) + _NOISE * torch.randn(count, dim, generator=stream)
        self.free = nn.Parameter(start)

    def forward(self) -> Tensor:
        """Give the directions (K, D)."""
        if self._kind == "orthogonal":
            rotation: Tensor = torch.linalg.matrix_exp(self.free - self.free.T)
            return rotation[: self._count]
        return F.normalize(self.free)


class Reconstructor(nn.Module):
    """Says along which of K directions a picture was shifted, and how far.

    Args:
        kind: ``lenet`` or ``resnet18``.
        count: Directions K.
        stream: Gives the start of all weights.
    """

    def __init__(self, kind: ReconstructorKind, count: int, stream: torch.Generator) -> None:
        super().__init__()
        # Weights are not drawn twice, and the global generator is left alone.
        with torch.device("meta"):
            self.body, width = _lenet() if kind == "lenet" else _resnet18()
            self.number = _head(width, count, deep=kind == "lenet")
            self.length = _head(width, 1, deep=kind == "lenet")
        self.to_empty(device="cpu")
        _initialise(self, stream)

    def forward(self, originals: Tensor, shifted: Tensor) -> tuple[Tensor, Tensor]:
        """Guess from originals and shifted pictures (N, 3, R, R): logits (N, K), lengths (N,)."""
        features = self.body(torch.cat([originals, shifted], dim=1))
        return self.number(features), self.length(features)[:, 0]


def fitting_reconstructor(kind: ReconstructorKind, resolution: int) -> ReconstructorKind:
    """Choose ``lenet`` or ``resnet18`` for pictures of a size; ``auto`` leaves it to the size.

    Raises:
        ValueError: LeNet was asked for and the pictures are too small for it.
    """
    if kind == "auto":
        return "lenet" if resolution in _LENET_SIDES else "resnet18"
    if kind == "lenet" and resolution < _LENET_SIDES.start:
        raise ValueError(
            f"LeNet needs pictures of {_LENET_SIDES.start} px or more, these have {resolution}: "
            "take resnet18."
        )
    return kind


class _Training:
    """The two networks, Adam, what a step does, and the file that an interruption leaves."""

    def __init__(self, generator: Generator, count: int, config: LearntConfig, seed: int) -> None:
        card, device = generator.card, generator.device
        stream = torch.Generator().manual_seed(derive_seed(seed, "learnt", "weights"))
        kind = fitting_reconstructor(config.reconstructor, card.resolution)
        # Both from one stream, so their order is part of the start.
        deformator = Deformator(config.deformator, count, card.code_dim, stream)
        self._networks = nn.ModuleDict(
            {"deformator": deformator, "reconstructor": Reconstructor(kind, count, stream)}
        ).to(device)
        self._adam = torch.optim.Adam(self._networks.parameters(), lr=config.learning_rate)
        self._losses = torch.zeros(config.steps, device=device)
        self._generator, self._config, self._seed, self._count = generator, config, seed, count

    def step(self, step: int) -> None:
        """Shift a batch of latents and update both networks."""
        config = self._config
        self._networks.train()
        logits, lengths, numbers, shifts = self._guess("train", step)
        named = config.label_weight * F.cross_entropy(logits, numbers)
        loss = named + config.shift_weight * F.l1_loss(lengths, shifts)
        self._adam.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self._adam.step()
        self._losses[step] = loss.detach()

    def check(self, done: int) -> None:
        """Make sure that the loss is a number."""
        last = float(self._losses[done - 1])
        if not math.isfinite(last):
            raise ValueError(
                f"Learning directions of {self._generator.card.name} diverged: its loss is {last} "
                f"at step {done}. Choose a lower learning_rate than {self._config.learning_rate}."
            )

    @torch.no_grad()
    def outcome(self) -> LearntDirections:
        """Give the directions, and how many shifts of fresh latents are named rightly."""
        found = self._networks["deformator"]().cpu()
        self._networks.eval()
        right = torch.zeros((), device=self._losses.device)
        for step in range(_TEST_STEPS):
            logits, _, numbers, _ = self._guess("test", step)
            right += (logits.argmax(1) == numbers).float().mean()
        return LearntDirections(
            vectors=F.normalize(found),  # whatever rounding did
            accuracy=float(right) / _TEST_STEPS,
            losses=self._losses.cpu(),
        )

    def save(self, path: Path, identity: str, done: int) -> None:
        """Write the state; the older file stays until the new one is complete."""
        learnt = {"networks": self._networks.state_dict(), "adam": self._adam.state_dict()}
        state = io.BytesIO()
        torch.save({"identity": identity, "done": done, **learnt, "losses": self._losses}, state)
        content = state.getvalue()
        # PyTorch does not look at the checksums that its files have.
        write_atomically(path, _SEAL + zlib.crc32(content).to_bytes(4, "big") + content)

    def restore(self, path: Path, identity: str) -> int:
        """Go to where `save` left off; give the steps done."""
        try:
            content = path.read_bytes()
            if content.startswith(_SEAL):  # older versions wrote none
                told, content = content[len(_SEAL) :][:4], content[len(_SEAL) + 4 :]
                if told != zlib.crc32(content).to_bytes(4, "big"):
                    raise ValueError("it does not fit its checksum")
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        # A damaged pickle, of an older version that wrote no checksum, can fail anywhere.
        except Exception as error:
            reason = str(error).partition("\n")[0]
            raise UnfinishedError(
                f"Cannot read the unfinished training {path}: {reason.rstrip('.')}."
            ) from error
        if not isinstance(state, dict) or state.get("identity") != identity:
            raise UnfinishedError(
                f"{path} belongs to another training of directions. Choose another folder, or "
                "delete the file to start afresh."
            )
        self._networks.load_state_dict(state["networks"])
        self._adam.load_state_dict(state["adam"])
        self._losses.copy_(state["losses"])
        return int(state["done"])

    def _guess(self, stream: str, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Give logits and guessed lengths, and the truth: numbers and signed lengths."""
        config, generator = self._config, self._generator
        seed = derive_seed(self._seed, "learnt", stream)
        rows = range(step * config.batch, (step + 1) * config.batch)
        code, y = codes_and_labels(generator, seed, rows)
        u = uniforms(derive_seed(seed, "shifts"), rows, 2)
        numbers = send(torch.from_numpy((u[:, 0] * self._count).astype("int64")), code.device)
        signed = torch.from_numpy(2 * u[:, 1] - 1).float() * config.shift_scale
        # A shift of next to nothing cannot be told from another.
        shifts = send(signed.sign() * signed.abs().clamp(min=config.shift_min), code.device)
        moved = code + shifts[:, None] * self._networks["deformator"]()[numbers]
        with torch.no_grad():
            originals = generator(code, y).clamp(-1, 1)
        guess = self._networks["reconstructor"](originals, generator(moved, y).clamp(-1, 1))
        return (*guess, numbers, shifts)


def _lenet() -> tuple[nn.Module, int]:
    """Make LeNet up to its heads, for six channels; give the width of its features, too."""
    first, second, third = 3 * _WIDTH, 8 * _WIDTH, 60 * _WIDTH
    body = nn.Sequential(
        *(nn.Conv2d(6, first, 5), nn.BatchNorm2d(first), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(first, second, 5), nn.BatchNorm2d(second), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(second, third, 5), nn.BatchNorm2d(third), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    return body, third


def _resnet18() -> tuple[nn.Module, int]:
    from torchvision.models import resnet18  # takes a second to import

    network = resnet18(weights=None)
    width = network.fc.in_features
    network.conv1 = nn.Conv2d(6, 64, 7, stride=2, padding=3, bias=False)
    network.fc = nn.Identity()
    return network, width


def _head(width: int, outputs: int, *, deep: bool) -> nn.Module:
    if not deep:
        return nn.Linear(width, outputs)
    hidden = 42 * _WIDTH
    return nn.Sequential(
        nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )


@torch.no_grad()
def _initialise(network: nn.Module, stream: torch.Generator) -> None:
    """Draw weights as PyTorch and torchvision do by default, but from the given stream."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_parameters()
        elif isinstance(module, nn.Conv2d) and module.bias is None:
            nn.init.kaiming_normal_(module.weight, 0, "fan_out", "relu", generator=stream)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            bound = module.weight[0].numel() ** -0.5
            for parameter in module.parameters(recurse=False):
                parameter.uniform_(-bound, bound, generator=stream)

"""Learn candidate directions (Voynov and Babenko 2020, section 3).

Directions and a network that tells them apart are trained together: a latent is shifted along a
random direction by a random length, and the network, seeing both pictures, predicts the direction's
number and the length. What is easy to tell apart is different to look at.

Every draw is a function of seed and step, and the checkpoint holds weights, batch statistics and
Adam's moments: an interrupted training goes on exactly where it was. (The official program's
forgets the moments.)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gseg.directions.candidate_config import LearntConfig
from gseg.directions.codes import codes_and_labels
from gseg.directions.learnt_checkpoint import restore_training, save_training
from gseg.directions.reconstructor import Deformator, Reconstructor, fitting_reconstructor
from gseg.exactness import exact
from gseg.generators.contract import Generator
from gseg.randomness import derive_seed, uniforms
from gseg.storage.store import canonical, digest
from gseg.transfers import send

Progress = Callable[[int, int], None]

_TEST_STEPS: Final = 100
_CHECKPOINTS: Final = 20


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
        progress: Called after each step with (steps done, steps in all).

    Returns:
        Directions and how well they are told apart.

    Raises:
        ValueError: The checkpoint is of another training, or the loss stopped being finite.
    """
    training = _Training(generator, min(count, generator.card.code_dim), config, seed)
    identity = digest(generator.card.name, count, canonical(config), seed)
    step = 0
    if checkpoint is not None and checkpoint.exists():
        step = restore_training(
            checkpoint, training.networks, training.adam, training.losses, identity
        )
    with torch.enable_grad():
        while step < config.steps:
            training.step(step)
            step += 1
            due = step == config.steps or step % max(1, config.steps // _CHECKPOINTS) == 0
            if due:
                training.check(step)
            if due and checkpoint is not None:
                save_training(
                    checkpoint, training.networks, training.adam, training.losses, step, identity
                )
            if progress is not None:
                progress(step, config.steps)
    return LearntDirections(
        vectors=training.vectors(), accuracy=training.accuracy(), losses=training.losses.cpu()
    )


class _Training:
    """The two networks, Adam, and what a step does."""

    def __init__(self, generator: Generator, count: int, config: LearntConfig, seed: int) -> None:
        card, device = generator.card, generator.device
        stream = torch.Generator().manual_seed(derive_seed(seed, "learnt", "weights"))
        kind = fitting_reconstructor(config.reconstructor, card.resolution)
        self.networks = nn.ModuleDict(
            {
                "deformator": Deformator(config.deformator, count, card.code_dim, stream),
                "reconstructor": Reconstructor(kind, count, stream),
            }
        ).to(device)
        self.adam = torch.optim.Adam(self.networks.parameters(), lr=config.learning_rate)
        self.losses = torch.zeros(config.steps, device=device)
        self._generator, self._config, self._seed, self._count = generator, config, seed, count

    def step(self, step: int) -> None:
        """Shift a batch of latents and update both networks."""
        self.networks.train()
        vectors = self.networks["deformator"]()
        logits, lengths, numbers, shifts = self._guess("train", step, vectors)
        config = self._config
        loss = config.label_weight * F.cross_entropy(logits, numbers)
        loss = loss + config.shift_weight * (lengths - shifts).abs().mean()
        self.adam.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.adam.step()
        self.losses[step] = loss.detach()

    def check(self, step: int) -> None:
        """Make sure that the loss is a number."""
        last = float(self.losses[step - 1])
        if not math.isfinite(last):
            raise ValueError(
                f"Learning directions of {self._generator.card.name} diverged: its loss is {last} "
                f"at step {step}. Choose a lower learning_rate than {self._config.learning_rate}."
            )

    @torch.no_grad()
    def vectors(self) -> Tensor:
        """Give the directions, of unit length whatever rounding did."""
        found: Tensor = self.networks["deformator"]().cpu()
        units: Tensor = found / found.norm(dim=1, keepdim=True)
        return units

    @torch.no_grad()
    def accuracy(self) -> float:
        """Count how many shifts of fresh latents are named rightly."""
        self.networks.eval()
        right = torch.zeros((), device=self.losses.device)
        vectors = self.networks["deformator"]()
        for step in range(_TEST_STEPS):
            logits, _, numbers, _ = self._guess("test", step, vectors)
            right += (logits.argmax(1) == numbers).float().mean()
        return float(right) / _TEST_STEPS

    def _guess(
        self, stream: str, step: int, vectors: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Give logits and guessed lengths, and the truth: numbers and signed lengths."""
        config, generator = self._config, self._generator
        seed = derive_seed(self._seed, "learnt", stream)
        rows = range(step * config.batch, (step + 1) * config.batch)
        code, y = codes_and_labels(generator, seed, rows)
        numbers, shifts = (send(part, code.device) for part in self._shifts(seed, rows))
        moved = code + shifts[:, None] * vectors[numbers]
        with torch.no_grad():
            originals = generator(code, y).clamp(-1, 1)
        guess = self.networks["reconstructor"](originals, generator(moved, y).clamp(-1, 1))
        return (*guess, numbers, shifts)

    def _shifts(self, seed: int, rows: range) -> tuple[Tensor, Tensor]:
        """Draw directions' numbers (B,) int64 and signed lengths (B,) float32."""
        config = self._config
        u = uniforms(derive_seed(seed, "shifts"), rows, 2)
        numbers = torch.from_numpy((u[:, 0] * self._count).astype("int64"))
        signed = torch.from_numpy(2 * u[:, 1] - 1).float() * config.shift_scale
        return numbers, signed.sign() * signed.abs().clamp(min=config.shift_min)

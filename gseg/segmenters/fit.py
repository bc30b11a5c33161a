"""Train a segmenter on generated pairs of picture and mask, resumable at any step.

Melas-Kyriazi et al. 2022, section 3.2 and appendix B.1; Voynov et al. 2021, section 3.5: Adam on
the pixel-wise cross-entropy of two logits. Which pairs a step sees follows from (seed, step)
alone, so the weights do not depend on who delivers the pairs or how often the training was
interrupted.
"""

import json
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gseg.images import from_uint8
from gseg.randomness import derive_seed, training_order
from gseg.segmenters.checkpoint import TrainingState, restore_state, save_state
from gseg.segmenters.config import FitConfig
from gseg.segmenters.held_out import held_out_iou
from gseg.segmenters.run import Run, check_fits
from gseg.segmenters.segmenter import Segmenter
from gseg.segmenters.source import BatchSource, InMemoryPairs
from gseg.segmenters.weights import blank_unet, initialise

__all__ = ["FitConfig", "FitResult", "Run", "fit", "fit_source"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class FitResult:
    """A finished training.

    Attributes:
        segmenter: The network with its provenance.
        losses: (steps,) float32 on the CPU: cross-entropy of each step's pairs (this rank's).
        validation: Step and IoU of each measurement on held-out pairs.
        validation_iou: The last of them; None without held-out pairs.
    """

    segmenter: Segmenter
    losses: Tensor
    validation: tuple[tuple[int, float], ...]
    validation_iou: float | None


def fit(
    pictures: Tensor,
    masks: Tensor,
    config: FitConfig,
    *,
    validation: tuple[Tensor, Tensor] | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    device: str | torch.device = "cpu",
) -> FitResult:
    """Train a segmenter on pairs in memory, in this process.

    Args:
        pictures: (N, 3, H, W) uint8.
        masks: (N, H, W) bool.
        config: The training's settings.
        validation: Held-out pictures and masks of the same kind; they never change the weights.
        checkpoint: See `Run`.
        progress: See `Run`.
        device: See `Run`.

    Returns:
        The segmenter, its loss curve and its held-out IoU.

    Raises:
        ValueError: Tensors do not fit, the checkpoint is of another training, or the loss
            stopped being finite.
    """
    run = Run(device=device, checkpoint=checkpoint, progress=progress)
    return fit_source(InMemoryPairs(pictures, masks), config, validation=validation, run=run)


def fit_source(
    source: BatchSource,
    config: FitConfig,
    *,
    validation: tuple[Tensor, Tensor] | None = None,
    run: Run | None = None,
) -> FitResult:
    """Train a segmenter on pairs from anywhere, in one process or as one of several replicas.

    Args:
        source: The pairs; every replica needs all of them.
        config: The training's settings.
        validation: Held-out pictures (M, 3, H, W) uint8 and masks (M, H, W) bool.
        run: Where and how.

    Returns:
        See `fit`.

    Raises:
        ValueError: See `fit`.
    """
    run = run or Run()
    check_fits(source, config, run)
    held_out = InMemoryPairs(*validation) if validation is not None else None
    identity = json.dumps(
        {"pairs": len(source), "sides": source.resolution, "training": asdict(config)},
        sort_keys=True,
    )
    with _threads(config.threads):
        state = _start(config, torch.device(run.device))
        if run.checkpoint is not None and run.checkpoint.exists():
            restore_state(run.checkpoint, state, identity)
            _log.info("Training resumes at step %d of %d.", state.step, config.steps)
        model = run.wrap(state.network) if run.wrap is not None else state.network
        while state.step < config.steps:
            model.train()
            state.losses[state.step] = _step(model, state, source, config, run)
            state.step += 1
            _after_step(state, config, run, held_out, identity)
        if held_out is not None:
            state.validation.append((state.step, held_out_iou(state.network, held_out)))
    provenance = {
        "training": asdict(config),
        "pairs": len(source),
        "resolution": source.resolution[0],
    }
    return FitResult(
        segmenter=Segmenter(state.network, provenance),
        losses=state.losses.cpu(),
        validation=tuple(state.validation),
        validation_iou=state.validation[-1][1] if state.validation else None,
    )


def _start(config: FitConfig, device: torch.device) -> TrainingState:
    network = blank_unet(width=config.width, depth=config.depth)
    initialise(network, derive_seed(config.seed, "weights"))
    network.to(device).to(memory_format=torch.channels_last)
    return TrainingState(
        network=network,
        optimiser=torch.optim.Adam(network.parameters(), lr=config.learning_rate, fused=True),
        losses=torch.zeros(config.steps, device=device),
    )


def _step(
    model: nn.Module, state: TrainingState, source: BatchSource, config: FitConfig, run: Run
) -> Tensor:
    order = training_order(derive_seed(config.seed, "order"), state.step, config.batch, len(source))
    mine = order[run.rank :: config.replicas]
    pictures, masks = source.batch(mine)
    device = state.losses.device
    images = from_uint8(pictures.to(device)).contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
        logits = model(images)
    loss = F.cross_entropy(logits.float(), masks.to(device, torch.int64))
    # Replicas' gradients are averaged; weighting by share makes that the mean over the batch.
    share = len(mine) * config.replicas / config.batch
    state.optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss * share)
    for group in state.optimiser.param_groups:
        group["lr"] = config.learning_rate_at(state.step)
    state.optimiser.step()
    return loss.detach()


def _after_step(
    state: TrainingState,
    config: FitConfig,
    run: Run,
    held_out: InMemoryPairs | None,
    identity: str,
) -> None:
    done = state.step == config.steps
    due = config.validate_every > 0 and state.step % config.validate_every == 0
    if held_out is not None and due and not done:
        state.validation.append((state.step, held_out_iou(state.network, held_out)))
    if done or state.step % run.checkpoint_every == 0:
        last = float(state.losses[state.step - 1])
        if not math.isfinite(last):
            raise ValueError(
                f"The training diverged: its loss is {last} at step {state.step} of "
                f"{config.steps}. Choose a lower learning_rate than {config.learning_rate}."
            )
        _log.info("Step %d of %d: loss %.4f.", state.step, config.steps, last)
        if run.checkpoint is not None and run.rank == 0:
            save_state(run.checkpoint, state, identity)
    if run.progress is not None:
        run.progress(state.step, config.steps)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)

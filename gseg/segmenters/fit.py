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
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gseg.exactness import exact
from gseg.images import from_uint8
from gseg.randomness import derive_seed
from gseg.segmenters.batches import Batch, batches
from gseg.segmenters.checkpoint import Keeper, TrainingState, restore_state
from gseg.segmenters.config import FitConfig
from gseg.segmenters.held_out import Measurement, measure_held_out
from gseg.segmenters.run import Run, check_fits
from gseg.segmenters.segmenter import Segmenter
from gseg.segmenters.source import BatchSource, InMemoryPairs
from gseg.segmenters.weights import blank_unet, initialise, load_strictly
from gseg.storage.digests import canonical

__all__ = ["FitConfig", "FitResult", "Run", "fit", "fit_source"]

_log = logging.getLogger(__name__)

_LOOK_EVERY: Final = 100
"""Steps between two looks at the loss, for which a GPU must have finished them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FitResult:
    """A finished training.

    Attributes:
        segmenter: The network with its provenance.
        losses: (steps,) float32 on the CPU: cross-entropy of each step's pairs (this rank's).
        foreground_share: Mean share of foreground in the masks trained on (this rank's), each
            counted as often as it was trained on.
        validation: Measurements on held-out pairs; rank 0 makes them.
        validation_iou: The last one's IoU; None without held-out pairs.
    """

    segmenter: Segmenter
    losses: Tensor
    foreground_share: float
    validation: tuple[Measurement, ...]
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


@exact()
def fit_source(
    source: BatchSource,
    config: FitConfig,
    *,
    validation: tuple[Tensor, Tensor] | None = None,
    start: Segmenter | None = None,
    run: Run | None = None,
) -> FitResult:
    """Train a segmenter on pairs from anywhere, in one process or as one of several replicas.

    Args:
        source: The pairs; every replica needs all of them.
        config: The training's settings.
        validation: Held-out pictures (M, 3, H, W) uint8 and masks (M, H, W) bool.
        start: A segmenter whose weights are trained further, instead of weights drawn from the
            seed; its width and depth must be the config's. It is left as it is.
        run: Where and how.

    Returns:
        See `fit`.

    Raises:
        ValueError: See `fit`; or `start` is of another shape.
    """
    run = run or Run()
    check_fits(source, config, run)
    held_out = InMemoryPairs(*validation) if validation is not None else None
    origin = {} if start is None else {"start": start.digest}
    facts = {
        "pairs": len(source),
        "sides": source.resolution,
        "training": canonical(config),
        **origin,
    }
    identity = json.dumps(facts, sort_keys=True)
    keeper = Keeper(run.checkpoint if run.rank == 0 else None, run.checkpoint_seconds, identity)
    with _threads(config.threads):
        state = _start(config, start, torch.device(run.device))
        if run.checkpoint is not None and run.checkpoint.exists():
            restore_state(run.checkpoint, state, identity)
            _log.info("Training resumes at step %d of %d.", state.step, config.steps)
        _train(state, source, config, run, held_out if run.rank == 0 else None, keeper)
    trained = -(-(config.batch - run.rank) // config.replicas) * config.steps
    provenance = {
        "training": canonical(config),
        "pairs": len(source),
        "resolution": source.resolution[0],
        **origin,
    }
    return FitResult(
        segmenter=Segmenter(state.network, provenance),
        losses=state.losses.cpu(),
        foreground_share=int(state.foreground) / (trained * math.prod(source.resolution)),
        validation=tuple(state.validation),
        validation_iou=state.validation[-1].iou if state.validation else None,
    )


def _start(config: FitConfig, start: Segmenter | None, device: torch.device) -> TrainingState:
    network = blank_unet(width=config.width, depth=config.depth)
    if start is None:
        initialise(network, derive_seed(config.seed, "weights"))
    else:
        load_strictly(network, start.network.state_dict(), source="The segmenter to start from")
    network.to(device).to(memory_format=torch.channels_last)
    return TrainingState(
        network=network,
        optimiser=torch.optim.Adam(network.parameters(), lr=config.learning_rate, fused=True),
        losses=torch.zeros(config.steps, device=device),
        foreground=torch.zeros((), dtype=torch.int64, device=device),
    )


def _train(
    state: TrainingState,
    source: BatchSource,
    config: FitConfig,
    run: Run,
    held_out: InMemoryPairs | None,
    keeper: Keeper,
) -> None:
    """Go through the steps that are left, and measure at the end."""
    model = run.wrap(state.network) if run.wrap is not None else state.network
    if config.compiled:
        model = torch.compile(model)  # type: ignore[assignment]
    device = state.losses.device
    coming = batches(source, config, rank=run.rank, device=device, first=state.step)
    with closing(coming):
        model.train()
        for batch in coming:
            state.losses[state.step] = _step(model, state, batch, config)
            state.step += 1
            due = config.validate_every > 0 and state.step % config.validate_every == 0
            if held_out is not None and due and state.step < config.steps:
                state.validation.append(measure_held_out(state.network, held_out, state.step))
                model.train()
                if run.measured is not None:
                    run.measured(state.validation[-1])
            _look_and_keep(state, config, keeper)
            if run.progress is not None:
                run.progress(state.step, config.steps)
    if held_out is not None:
        state.validation.append(measure_held_out(state.network, held_out, state.step))


def _step(model: nn.Module, state: TrainingState, batch: Batch, config: FitConfig) -> Tensor:
    pictures, masks = batch
    targets = masks.to(torch.int64)
    images = from_uint8(pictures).contiguous(memory_format=torch.channels_last)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
        logits = model(images)
    loss = F.cross_entropy(logits.float(), targets)
    # Replicas' gradients are averaged; weighting by share makes that the mean over the batch.
    share = len(masks) * config.replicas / config.batch
    state.optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss * share)
    for group in state.optimiser.param_groups:
        group["lr"] = config.learning_rate_at(state.step)
    state.optimiser.step()
    state.foreground += targets.sum()
    return loss.detach()


def _look_and_keep(state: TrainingState, config: FitConfig, keeper: Keeper) -> None:
    """See now and then whether the training is sound, and only then keep its state."""
    done = state.step == config.steps
    if not (done or keeper.due or state.step % _LOOK_EVERY == 0):
        return
    last = float(state.losses[state.step - 1])
    if not math.isfinite(last):
        raise ValueError(
            f"The training diverged: its loss is {last} at step {state.step} of "
            f"{config.steps}. Choose a lower learning_rate than {config.learning_rate}."
        )
    _log.info("Step %d of %d: loss %.4f.", state.step, config.steps, last)
    if done or keeper.due:
        keeper.save(state)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)

"""Train a segmenter on generated pairs of picture and mask, resumable at any step.

Melas-Kyriazi et al. 2022, section 3.2 and appendix B.1; Voynov et al. 2021, section 3.5: Adam on
the pixel-wise cross-entropy of two logits. Which pairs a step sees follows from (seed, step)
alone, so the weights do not depend on who delivers the pairs or how often the training was
interrupted.
"""

import json
import logging
import math
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gseg.exactness import exact
from gseg.images import from_uint8
from gseg.randomness import derive_seed, training_order
from gseg.segmenters.checkpoint import Keeper, Measurement, TrainingState, restore_state
from gseg.segmenters.config import FitConfig
from gseg.segmenters.pairs import BatchSource, InMemoryPairs
from gseg.segmenters.segmenter import Segmenter
from gseg.segmenters.unet import UNet, blank_unet, check_sides, initialise, load_strictly
from gseg.storage.digests import canonical
from gseg.transfers import send, start_copy

_log = logging.getLogger(__name__)

# Steps between two looks at the loss, for which a GPU must have finished them.
_LOOK_EVERY: Final = 100
# Steps whose pairs are fetched or waiting; a source that reads ahead itself may hold more.
_AHEAD: Final = 2
# Of held-out pictures.
_PIXELS_AT_ONCE: Final = 2**18

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Where and how a training runs: nothing here changes its result on one kind of device.

    Attributes:
        device: Where to train.
        checkpoint: File for the unfinished training: read if it exists, replaced from time to
            time as `gseg.segmenters.checkpoint.Keeper` says, and after the last step. Whoever
            keeps the result deletes it.
        checkpoint_seconds: Between two writings of it; 0 for after every step.
        name: Of what is trained on what; a checkpoint that has another is refused.
        progress: Called after each step with the steps done and the steps in all.
        measured: Called after each measurement on held-out pairs before the last.
        rank: Which of the config's replicas this process is: it takes every n-th pair of each
            step, from this number on. Rank 0 writes the checkpoint; all ranks read it.
        wrap: Gets the network on its device and returns what is called in training, such as
            DistributedDataParallel, which averages gradients over the replicas. Needed for more
            than one replica.
    """

    device: str | torch.device = "cpu"
    checkpoint: Path | None = None
    checkpoint_seconds: float = 60.0
    name: str = ""
    progress: Callable[[int, int], None] | None = None
    measured: Callable[[Measurement], None] | None = None
    rank: int = 0
    wrap: Callable[[nn.Module], nn.Module] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.checkpoint_seconds < float("inf"):
            raise ValueError(
                f"checkpoint_seconds must be a number of at least 0, got {self.checkpoint_seconds}."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class FitResult:
    """A finished training.

    Attributes:
        segmenter: The network with its provenance.
        losses: (steps,) float32 on the CPU: cross-entropy of each step's pairs (this rank's).
        foreground_share: Mean share of foreground in the masks trained on (this rank's), each
            counted as often as it was trained on.
        validation: Measurements on held-out pairs; rank 0 makes them.
    """

    segmenter: Segmenter
    losses: Tensor
    foreground_share: float
    validation: tuple[Measurement, ...]

    @property
    def validation_iou(self) -> float | None:
        """The last measurement's IoU; None without held-out pairs."""
        return self.validation[-1].iou if self.validation else None


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
        checkpoint: See `Run`, also for the rest.
        progress: After each step: the steps done and the steps in all.
        device: Where to train.

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

    Raises:
        ValueError: See `fit`; or `start` is of another shape.
    """
    run = run or Run()
    _check_fits(source, config, run)
    held_out = InMemoryPairs(*validation) if validation is not None else None
    told = {"training": canonical(config), "pairs": len(source)}
    told |= {} if start is None else {"start": start.digest}
    asked = {**told, "sides": source.resolution}
    identity = json.dumps(asked | ({"name": run.name} if run.name else {}), sort_keys=True)
    keeper = Keeper(run.checkpoint if run.rank == 0 else None, run.checkpoint_seconds, identity)
    with _threads(config.threads):
        state = _start(config, start, torch.device(run.device))
        if run.checkpoint is not None and run.checkpoint.exists():
            # Checkpoints of older versions do not say on which pairs.
            nameless = json.dumps(asked, sort_keys=True)
            restore_state(run.checkpoint, state, identity, nameless)
            _log.info("Training resumes at step %d of %d.", state.step, config.steps)
        _train(state, source, config, run, held_out if run.rank == 0 else None, keeper)
    trained = -(-(config.batch - run.rank) // config.replicas) * config.steps
    return FitResult(
        segmenter=Segmenter(state.network, {**told, "resolution": source.resolution[0]}),
        losses=state.losses.cpu(),
        foreground_share=int(state.foreground) / (trained * math.prod(source.resolution)),
        validation=tuple(state.validation),
    )


def _check_fits(source: BatchSource, config: FitConfig, run: Run) -> None:
    """Find out before the first step what would go wrong later."""
    height, width = source.resolution
    check_sides(config.depth, height, width)
    share = config.batch // config.replicas
    if share * (height >> config.depth) * (width >> config.depth) < 2:
        raise ValueError(
            f"Batch normalisation needs more than one value: a batch of {config.batch} over "
            f"{config.replicas} replicas is too small for {height} x {width} pixels at depth "
            f"{config.depth}. Choose a larger batch or a smaller depth."
        )
    if not 0 <= run.rank < config.replicas:
        raise ValueError(
            f"rank must be in [0, {config.replicas}), the config's replicas, got {run.rank}."
        )
    if config.replicas > 1 and run.wrap is None:
        raise ValueError(
            f"{config.replicas} replicas need `wrap`, which makes them average their gradients "
            "(DistributedDataParallel for example), got none."
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
    with closing(_batches(source, config, run.rank, device, state.step)) as coming:
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


def _batches(
    source: BatchSource, config: FitConfig, rank: int, device: torch.device, first: int
) -> Generator[Batch, None, None]:
    """Give the pairs of each step from `first` on: (B, 3, H, W) uint8 and (B, H, W) bool."""
    seed = derive_seed(config.seed, "order")

    def fetch(step: int) -> Batch:
        order = training_order(seed, step, config.batch, len(source), config.shuffle_window)
        pictures, masks = source.batch(order[rank :: config.replicas])
        if device.type == "cuda" and pictures.device.type == "cpu":
            return pictures.pin_memory(), masks.pin_memory()  # so that copying does not wait
        return pictures, masks

    # One other thread asks the source, for one step after the other, while the present one is
    # computed. Which pairs a step sees is known beforehand: that changes nothing but the time.
    with ThreadPoolExecutor(1, thread_name_prefix="pairs") as pool:
        coming: deque[Future[Batch]] = deque()
        try:
            for step in range(first, config.steps):
                while len(coming) < min(_AHEAD, config.steps - step):
                    coming.append(pool.submit(fetch, step + len(coming)))
                pictures, masks = coming.popleft().result()
                yield pictures.to(device, non_blocking=True), masks.to(device, non_blocking=True)
        finally:
            for waiting in coming:
                waiting.cancel()


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


@torch.no_grad()
def measure_held_out(network: UNet, pairs: InMemoryPairs, step: int) -> Measurement:
    """Measure a network on pairs that it is not trained on, in float32.

    Voynov et al. 2021, section 3.5 and Fig. 5: generated pairs cost nothing, so settings can be
    chosen on held-out ones, without labels.

    Args:
        network: Left in evaluation mode.
        pairs: The held-out pairs.
        step: Steps done.
    """
    network.eval()
    device = next(network.parameters()).device
    at_once = max(1, _PIXELS_AT_ONCE // math.prod(pairs.resolution))
    parts: list[tuple[int, Callable[[], Tensor]]] = []
    for start in range(0, len(pairs), at_once):
        pictures, masks = pairs.batch(np.arange(start, min(start + at_once, len(pairs))))
        images = from_uint8(send(pictures, device)).contiguous(memory_format=torch.channels_last)
        logits, wanted = network(images), send(masks, device)
        found = logits[:, 1] > logits[:, 0]
        union = (found | wanted).sum((1, 2))
        iou = (found & wanted).sum((1, 2)) / union.clamp(min=1)
        loss = F.cross_entropy(logits, wanted.long())
        # float64 holds the loss and the number of pictures exactly.
        found_here = [iou.sum(dtype=torch.float64), loss.double(), (union > 0).sum().double()]
        parts.append((len(masks), start_copy(torch.stack(found_here))))
    iou_sum, loss_sum, count = 0.0, 0.0, 0
    for pictures_here, arrived in parts:
        iou_here, loss_here, there = arrived().tolist()
        iou_sum += iou_here
        loss_sum += pictures_here * loss_here
        count += int(there)
    return Measurement(step=step, iou=iou_sum / count if count else 0.0, loss=loss_sum / len(pairs))


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)

"""How much a training costs beyond its network, and what several replicas gain.

`fit` against bare U-Net steps: the bare ones have float pictures and integer masks of one batch in
memory and do nothing but forward, backward and Adam, on the same network, layout, precision and
threads. After each step of `fit` comes a bare one, so that a busy machine slows both alike; the
ratio is that of their CPU times (on a GPU, of their wall times), and everything that `fit` does
besides its steps counts: setting up, fetching pairs, keeping losses.

Replicas: the same training of scenes with one process and with two, over several seeds: IoU on
held-out pairs, loss curves, CPU and wall seconds.

    python benchmarks/training.py
    python benchmarks/training.py --case embedded --steps 300
    python benchmarks/training.py --case replicas --seeds 0 1 2
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from gseg.scenes.pictures import VALIDATION_FIRST, render
from gseg.segmenters.config import FitConfig, fit_preset, native_precision
from gseg.segmenters.fit import fit_source
from gseg.segmenters.run import Run
from gseg.segmenters.source import InMemoryPairs
from gseg.segmenters.unet import UNet

WARM_STEPS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One training and the ratio that it should not exceed."""

    config: FitConfig
    resolution: int
    pairs: int
    target: float


def cases(device: str, steps: int | None, compiled: bool) -> dict[str, Case]:
    precision = native_precision(device)
    paper = replace(fit_preset("paper"), batch=8 if device == "cpu" else 95, precision=precision)
    embedded = fit_preset("embedded", device=device)
    return {
        name: Case(
            config=replace(
                config,
                steps=steps or count,
                decay_at=None,
                validate_every=0,
                compiled=compiled,
            ),
            resolution=side,
            pairs=pairs,
            target=target,
        )
        for name, config, count, side, pairs, target in (
            ("embedded", embedded, 100, 32, 2_000, 1.15),
            ("paper", paper, 20 if device == "cpu" else 200, 128, 1_000, 1.05),
        )
    }


def random_pairs(case: Case) -> InMemoryPairs:
    rng = torch.Generator().manual_seed(0)
    side = case.resolution
    pictures = torch.randint(256, (case.pairs, 3, side, side), generator=rng, dtype=torch.uint8)
    masks = torch.randint(2, (case.pairs, side, side), generator=rng) > 0
    return InMemoryPairs(pictures, masks)


class BareSteps:
    """Steps of a U-Net on one batch that is in memory."""

    def __init__(self, case: Case, device: torch.device) -> None:
        """Compile the network if the case says so."""
        config, side, on_card = case.config, case.resolution, device.type == "cuda"
        self._network = UNet(width=config.width, depth=config.depth).to(device)
        self._network.to(memory_format=torch.channels_last)
        self._optimiser = torch.optim.Adam(
            self._network.parameters(),
            lr=config.learning_rate,
            fused=True,
            capturable=on_card,  # by CUDA graphs; fused steps are counted there anyway
        )
        images = torch.rand(config.batch, 3, side, side, device=device) * 2 - 1
        self._images = images.contiguous(memory_format=torch.channels_last)
        self._targets = torch.randint(2, (config.batch, side, side), device=device)
        self._bfloat16 = config.precision == "bfloat16"
        self._model: torch.nn.Module = self._network
        if config.compiled:
            self._model = torch.compile(self._network)

    def __call__(self) -> None:
        """Do one."""
        kind = self._images.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=self._bfloat16):
            logits = self._model(self._images)
        loss = F.cross_entropy(logits.float(), self._targets)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._optimiser.step()


class Clock:
    """Wall and CPU time, of which shares can be counted apart."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.apart = [0.0, 0.0]

    def now(self) -> tuple[float, float]:
        """Read wall and CPU seconds."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter(), time.process_time()

    def count(self, work: Callable[[], None]) -> None:
        """Do work whose time is counted apart."""
        began = self.now()
        work()
        ended = self.now()
        self.apart = [a + e - b for a, b, e in zip(self.apart, began, ended, strict=True)]


def measure(case: Case, device: torch.device) -> tuple[list[float], list[float]]:
    """(Wall, CPU) seconds of `fit` without the bare steps in it, and of these."""
    pairs, bare, clock = random_pairs(case), BareSteps(case, device), Clock(device)
    warm = replace(case.config, steps=WARM_STEPS)
    fit_source(pairs, warm, run=Run(device=device, progress=lambda *_: bare()))
    began = clock.now()
    run = Run(device=device, progress=lambda *_: clock.count(bare))
    fit_source(pairs, case.config, run=run)
    ended = clock.now()
    whole = [e - b - a for a, b, e in zip(clock.apart, began, ended, strict=True)]
    return whole, clock.apart


def measure_apart(
    case: Case, device: torch.device, bare_steps: int | None = None
) -> tuple[list[float], list[float]]:
    """The same with the bare steps before and after: a GPU works best without interruption.

    The seconds of fewer bare steps are scaled to as many as `fit` makes.
    """
    count = bare_steps or case.config.steps
    pairs, bare = random_pairs(case), BareSteps(case, device)
    warm = replace(case.config, steps=WARM_STEPS)
    fit_source(pairs, warm, run=Run(device=device, progress=lambda *_: bare()))

    def timed(work: Callable[[], object]) -> list[float]:
        clock = Clock(device)
        clock.count(lambda: [work(), None][1])
        return clock.apart

    def steps() -> None:
        for _ in range(count):
            bare()

    before = timed(steps)
    whole = timed(lambda: fit_source(pairs, case.config, run=Run(device=device)))
    after = timed(steps)
    scale = case.config.steps / count
    return whole, [scale * (b + a) / 2 for b, a in zip(before, after, strict=True)]


def print_costs(console: Console, options: argparse.Namespace) -> None:
    device = torch.device(options.device)
    table = Table(title=f"fit over bare U-Net steps ({options.device})")
    for heading in ("case", "bare s", "fit s", "ratio", "of", "target", "pictures/s"):
        table.add_column(heading, justify="left" if heading == "case" else "right")
    for name, case in cases(options.device, options.steps, options.compiled).items():
        if options.case not in (name, "all"):
            continue
        on_gpu = device.type == "cuda"
        whole, bare = (measure_apart if on_gpu else measure)(case, device)
        which, config = 0 if on_gpu else 1, case.config
        shape = f"width {config.width}, depth {config.depth}, {case.resolution} px"
        table.add_row(
            f"{name}: {shape}, batch {config.batch}, {config.steps} steps, {config.precision}"
            + (", compiled" if config.compiled else ""),
            f"{bare[which]:.2f}",
            f"{whole[which]:.2f}",
            f"{whole[which] / bare[which]:.3f}",
            "wall" if on_gpu else "CPU",
            f"{case.target:.2f}",
            f"{config.steps * config.batch / whole[which]:.0f}",
        )
    console.print(table)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a training with some replicas left."""

    iou: float
    losses: Tensor
    wall: float
    cpu: float


def replica(rank: int, config: FitConfig, count: int, folder: str) -> None:
    """Train as one of several processes; each leaves its losses and seconds."""
    torch.set_num_threads(1)
    world = config.replicas
    if world > 1:
        store = f"file://{folder}/rendezvous"
        wait = timedelta(minutes=10)
        dist.init_process_group(
            "gloo", init_method=store, rank=rank, world_size=world, timeout=wait
        )
    scenes, held_out = render(range(count)), render(range(VALIDATION_FIRST, VALIDATION_FIRST + 500))
    run = Run(rank=rank, wrap=DistributedDataParallel if world > 1 else None)
    wall, cpu = time.perf_counter(), time.process_time()
    result = fit_source(
        InMemoryPairs(scenes.pictures, scenes.masks),
        config,
        validation=(held_out.pictures, held_out.masks),
        run=run,
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    left = {"iou": result.validation_iou, "losses": result.losses, "wall": wall, "cpu": cpu}
    torch.save(left, Path(folder) / f"{rank}.pt")
    if world > 1:
        dist.destroy_process_group()


def train_replicas(config: FitConfig, count: int) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(replica, (config, count, folder), nprocs=config.replicas)
        parts = [torch.load(file, weights_only=True) for file in sorted(Path(folder).glob("*.pt"))]
    return Outcome(
        iou=parts[0]["iou"],
        losses=torch.stack([part["losses"] for part in parts]).mean(0),
        wall=max(part["wall"] for part in parts),
        cpu=max(part["cpu"] for part in parts),
    )


def print_replicas(console: Console, options: argparse.Namespace) -> None:
    table = Table(title="one replica against two, on scenes with true masks")
    headings = ("seed", "IoU of 1", "of 2", "difference", "last losses of 1", "of 2")
    for heading in (*headings, "speed-up by CPU", "by wall"):
        table.add_column(heading, justify="right")
    for seed in options.seeds:
        config = replace(
            fit_preset("embedded"),
            seed=seed,
            steps=options.steps or 300,
            decay_at=(options.steps or 300) * 2 // 3,
            validate_every=0,
        )
        one, two = (train_replicas(replace(config, replicas=n), 1_000) for n in (1, 2))
        last = max(1, config.steps // 10)
        table.add_row(
            str(seed),
            f"{one.iou:.4f}",
            f"{two.iou:.4f}",
            f"{two.iou - one.iou:+.4f}",
            f"{one.losses[-last:].mean():.4f}",
            f"{two.losses[-last:].mean():.4f}",
            f"{one.cpu / two.cpu:.2f}",
            f"{one.wall / two.wall:.2f}",
        )
    console.print(table)
    console.print("CPU: of the busier process, waiting for the other not counted.")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = ["embedded", "paper", "replicas", "all"]
    parser.add_argument("--case", choices=known, default="all")
    parser.add_argument("--steps", type=int, help="default: 100, 20 (GPU: 200) and 300")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the replicas")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--compiled", action="store_true", help="torch.compile, on both sides")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=140)
    if options.case != "replicas":
        print_costs(console, options)
    if options.case in ("replicas", "all"):
        print_replicas(console, options)


if __name__ == "__main__":
    main()

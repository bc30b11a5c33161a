"""How much a training costs beyond its network: wall time of `fit` over bare U-Net steps.

The bare loop has float pictures and integer masks of one batch in memory and does nothing but
forward, backward and Adam, on the same network, layout, precision and threads. Both run in turn,
several times; the fastest run of each counts.

    python benchmarks/training.py
    python benchmarks/training.py --case embedded --repeats 5
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

from gseg.segmenters.config import FitConfig, native_precision, preset
from gseg.segmenters.fit import fit
from gseg.segmenters.unet import UNet


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One training and the ratio that it should not exceed."""

    config: FitConfig
    resolution: int
    pairs: int
    target: float


def cases(device: str) -> dict[str, Case]:
    precision = native_precision(device)
    paper = replace(
        preset("paper"), steps=20, batch=8, decay_at=None, validate_every=0, precision=precision
    )
    embedded = replace(preset("embedded", device=device), steps=100, decay_at=66, validate_every=0)
    return {
        "embedded": Case(config=embedded, resolution=32, pairs=2_000, target=1.15),
        "paper": Case(config=paper, resolution=128, pairs=64, target=1.05),
    }


def random_pairs(case: Case) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    side = case.resolution
    pictures = torch.randint(256, (case.pairs, 3, side, side), generator=rng, dtype=torch.uint8)
    masks = torch.randint(2, (case.pairs, side, side), generator=rng) > 0
    return pictures, masks


def bare_steps(case: Case, device: torch.device) -> None:
    config = case.config
    network = UNet(width=config.width, depth=config.depth).to(device)
    network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=config.learning_rate, fused=True)
    side = case.resolution
    images = torch.rand(config.batch, 3, side, side, device=device) * 2 - 1
    images = images.contiguous(memory_format=torch.channels_last)
    targets = torch.randint(2, (config.batch, side, side), device=device)
    for _ in range(config.steps):
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            logits = network(images)
        loss = F.cross_entropy(logits.float(), targets)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()


def seconds(work: Callable[[], object], device: torch.device) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(case: Case, device: torch.device, repeats: int) -> list[tuple[float, float]]:
    """Fastest (wall, CPU) seconds of the bare steps and of `fit`."""
    pictures, masks = random_pairs(case)
    works = (
        lambda: bare_steps(case, device),
        lambda: fit(pictures, masks, case.config, device=device),
    )
    warm = replace(case, config=replace(case.config, steps=2))
    bare_steps(warm, device)
    fit(pictures, masks, warm.config, device=device)
    runs = [[seconds(work, device) for work in works] for _ in range(repeats)]
    return [
        (min(run[which][0] for run in runs), min(run[which][1] for run in runs)) for which in (0, 1)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", choices=["embedded", "paper", "all"], default="all")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; default 3")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_num_threads(1)
    table = Table(title="fit over bare U-Net steps")
    for heading in ("case", "bare s", "fit s", "wall ratio", "CPU ratio", "target", "pictures/s"):
        table.add_column(heading, justify="left" if heading == "case" else "right")
    for name, case in cases(options.device).items():
        if options.case not in (name, "all"):
            continue
        (bare, bare_cpu), (whole, whole_cpu) = measure(case, device, options.repeats)
        config = case.config
        shape = f"width {config.width}, depth {config.depth}, {case.resolution} px"
        table.add_row(
            f"{name}: {shape}, batch {config.batch}, {config.steps} steps, {config.precision}",
            f"{bare:.2f}",
            f"{whole:.2f}",
            f"{whole / bare:.3f}",
            f"{whole_cpu / bare_cpu:.3f}",
            f"{case.target:.2f}",
            f"{config.steps * config.batch / whole:.0f}",
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()

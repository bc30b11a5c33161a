"""Forwards of every published architecture, and which setting drawing should take.

Of generators that differ in their weights alone one is timed: acgan.tinyimagenet64 stands for SNGAN
and GGAN at 64 px, biggan.imagenet128 for ContraGAN and BigBiGAN, uncondgan.imagenet128 for
SelfCondGAN. All layouts, `torch.compile` and CUDA graphs are tried on BigGAN alone, graphs on the
U-Net, too; compiled, a step of that takes .93 of the time and 38 s to begin with. gseg loads
generators in channels-last memory format.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

import torch

from benchmarks.generators import Context, Outcome, agreement, find_shift, inputs, keeps, measure
from benchmarks.gpu.findings import Task
from benchmarks.gpu.networks import build_generator
from benchmarks.gpu.speed import count_flops, fitting, free, graphed, rates
from benchmarks.training import BareSteps
from benchmarks.training import Case as Training
from gseg.generators.catalogue import load_generator
from gseg.generators.contract import Generator
from gseg.segmenters.config import fit_preset

EXACT = Context(name="float32 channels-last", channels_last=True)
TF32 = Context(name="TF32 channels-last", channels_last=True, tf32=True)
BFLOAT16 = Context(name="bfloat16 channels-last", channels_last=True, narrow=True)
SETTINGS = (EXACT, TF32, BFLOAT16)
CONTIGUOUS = (Context(name="float32"), Context(name="bfloat16", narrow=True))
LARGE = "biggan.imagenet128"
BATCHES = {
    LARGE: 128,
    "sagan.imagenet128": 128,
    "sngan.imagenet128": 128,
    "uncondgan.imagenet128": 128,
    "acgan.tinyimagenet64": 256,
    "sagan.tinyimagenet64": 256,
    "biggan.tinyimagenet64": 256,
    "biggandeep.imagenet128": 128,
    "biggandeep.imagenet512": 16,
    "stylegan2.ffhq1024": 8,
}
"""Pictures in a batch; half as many where memory runs out. The slowest stand last."""
TRAINED = ("biggan.scenes32", "ggan.scenes32", "uncondgan.scenes32-large")
RANDOM = (LARGE, "sngan.imagenet128")
REHEARSED = "biggan.tinyimagenet64"
COMPILE_SECONDS = 40.0
"""Seconds without which no compilation is begun."""


def generators(task: Task) -> None:
    small = task.rehearsal
    trained = compare(task, "trained", TRAINED[:1] if small else TRAINED, load_embedded)
    random = compare(task, "random weights", (REHEARSED,) if small else RANDOM, build_generator)
    for name, found in (("trained", trained), ("all", {**trained, **random})):
        task.findings.attempt("setting by the rule", name, partial(choose, found))
    steps = UNetSteps(task)
    with_large = partial(time_forwards, task, REHEARSED if small else LARGE)
    with_large(SETTINGS + CONTIGUOUS)
    steps.time(BFLOAT16)
    if task.device.type == "cuda":
        with_large((BFLOAT16,), "CUDA graph", graphed)
        steps.time(BFLOAT16, "CUDA graph", graphed)
    # The rehearsal has no time for a compiler.
    backend, takes = ("eager", 0.0) if small else ("inductor", COMPILE_SECONDS)
    how = f"compiled ({backend})"
    with_large((BFLOAT16,), how, partial(torch.compile, backend=backend), takes)
    for name in BATCHES:
        if name != LARGE and not small:
            time_forwards(task, name, SETTINGS)


Changed = Callable[[Callable[[], object]], Callable[[], object]]
Shares = dict[str, list[dict[str, Any]]]
"""Agreements under each setting by name of the generator."""


def compare(
    task: Task, kind: str, names: tuple[str, ...], load: Callable[[str, Task], Generator]
) -> Shares:
    """Compare masks and decisions under each setting with those of float32."""
    batch, candidates = (8, 16) if task.rehearsal else (64, 1024 if kind == "trained" else 256)
    compared: Shares = {}

    def one(name: str, made: dict[str, Any], setting: Context) -> dict[str, Any]:
        if not made:
            made["generator"] = generator = load(name, task)
            searched = kind == "trained" and not task.rehearsal
            with EXACT.context(task.device.type):
                made["shift"] = find_shift(generator, searched=searched)
        found = measure(made["generator"], made["shift"], setting, batch, candidates)
        if setting is EXACT:
            made["exact"] = found
        exact: Outcome = made["exact"]
        shares = agreement(found, exact)
        times = found.pictures_per_second / exact.pictures_per_second
        facts = {**shares, "keeps": keeps(shares), "times_float32": times}
        compared.setdefault(name, []).append({"setting": setting.name, **facts})
        return {**facts, "candidates": candidates, "batch": batch}

    for name in names:
        made: dict[str, Any] = {}
        for setting in SETTINGS:
            tune(setting)
            run = partial(one, name, made, setting)
            task.findings.attempt(f"equal to float32: {kind}", f"{name}, {setting.name}", run)
        made.clear()
        free()
    return compared


def load_embedded(name: str, task: Task) -> Generator:
    return load_generator(name, device=task.device)


def choose(compared: Shares) -> dict[str, Any]:
    """Choose the fastest setting that keeps pixels and decisions of every generator."""
    found = {}
    for setting in (each.name for each in SETTINGS):
        of_it = [each for made in compared.values() for each in made if each["setting"] == setting]
        if len(of_it) == len(compared) and all(each["keeps"] for each in of_it):
            found[setting] = prod(each["times_float32"] for each in of_it) ** (1 / len(of_it))
    if not found:
        raise ValueError("No setting was compared on all generators and kept.")
    chosen = max(found, key=lambda name: found[name])
    kept = ", ".join(f"{name} ({times:.2f} times float32)" for name, times in found.items())
    return {"chosen": chosen, "kept": kept, "generators": ", ".join(compared)}


def tune(setting: Context) -> None:
    """Let cuDNN try its algorithms, but not in float32: half a minute there for each network."""
    torch.backends.cudnn.benchmark = setting.tf32 or setting.narrow


def time_forwards(
    task: Task,
    name: str,
    settings: tuple[Context, ...],
    how: str = "",
    changed: Changed = lambda run: run,
    takes: float = 0,
) -> None:
    """Time a generator's forward in each setting."""
    made: dict[str, Any] = {}

    def build() -> dict[str, Any]:
        generator = made["generator"] = build_generator(name, task)
        # Not inference_mode, in which the counter of some releases misses operations.
        with torch.no_grad(), EXACT.context(task.device.type):
            code, y = inputs(generator, range(1))
            made["flops"] = count_flops(partial(generator, code, y))
            pictures = generator(code, y)
        return {
            "resolution": generator.card.resolution,
            "parameters": sum(each.numel() for each in generator.parameters()),
            "gflop_per_picture": made["flops"] / 1e9,
            "finite": bool(pictures.isfinite().all()),
            "std": pictures.std().item(),
        }

    def forwards(setting: Context, count: int) -> dict[str, Any]:
        generator = made["generator"].to(memory_format=setting.layout)
        with torch.no_grad(), setting.context(task.device.type):
            code, y = inputs(generator, range(count))
            run = changed(lambda: generator(code, y))
            return rates(run, count, made["flops"], task)

    task.findings.attempt("networks", name, build)
    if "flops" not in made:
        return
    batch = 2 if task.rehearsal else BATCHES[name]
    for setting in settings:
        tune(setting)
        run = partial(fitting, partial(forwards, setting), batch)
        what = ", ".join(part for part in (name, setting.name, how) if part)
        task.findings.attempt("forwards", what, run, takes=takes)
    made.clear()
    free()


class UNetSteps:
    """Training steps of the papers' U-Net."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._batch, self._side, self._width = (2, 32, 8) if task.rehearsal else (95, 128, 64)

    def time(self, setting: Context, how: str = "", changed: Changed = lambda run: run) -> None:
        """Time steps in a setting."""
        tune(setting)
        what = ", ".join(part for part in (setting.name, how) if part)
        name = f"width {self._width}, {self._side} px, {what}"
        run = partial(fitting, partial(self._steps, setting, changed), self._batch)
        self._task.findings.attempt("U-Net steps", name, run)

    def _steps(self, setting: Context, changed: Changed, count: int) -> dict[str, Any]:
        precision = "bfloat16" if setting.narrow else "float32"
        config = replace(fit_preset("paper"), batch=count, width=self._width, precision=precision)
        task = self._task
        case = Training(config=config, resolution=self._side, pairs=0, target=0.0)
        with replace(setting, narrow=False).context(task.device.type):
            flops = count_flops(BareSteps(case, task.device)) / count
            return rates(changed(BareSteps(case, task.device)), count, flops, task)

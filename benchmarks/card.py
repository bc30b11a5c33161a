"""What one GPU gives: whether it computes what the CPU does, and how fast.

    python benchmarks/card.py --out results/card                  one GPU, at most five minutes
    python benchmarks/card.py --out results/card --cpu-rehearsal  the same in small on the CPU

Four parts, each in a process of its own with its own time limit, so that no failure reaches
another: ``conformance`` compares with the public programs' outputs and with the CPU, in float32
without TF32; ``tests`` runs the tests marked ``gpu``; ``unet`` and ``generators`` time training
steps and forwards at full size with random weights. Results: ``CARD.json`` and ``CARD.md``.

Of generators that differ in their weights alone one is timed: acgan.tinyimagenet64 stands for SNGAN
and GGAN at 64 px, biggan.imagenet128 for ContraGAN and BigBiGAN, uncondgan.imagenet128 for
SelfCondGAN.
"""

import argparse
import gc
import gzip
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, get_args
from zlib import crc32

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from gseg.generators import Generator, from_checkpoint, list_generators, load_generator
from gseg.generators.precision import ForwardSetting, forward_with
from gseg.generators.published import PUBLISHED, PublishedGenerator
from gseg.images import from_uint8, to_uint8
from gseg.metrics import PROFILES, pixel_histogram, score_images
from gseg.randomness import labels, latents
from gseg.samples import FilterPreset, filter_preset, make_masks
from gseg.samples.histograms import histogram_counts
from gseg.samples.masks import MaskRule
from gseg.samples.verdicts import judge
from gseg.segmenters.config import preset
from gseg.segmenters.unet import UNet
from gseg.segmenters.weights import blank_unet, initialise

ROOT = Path(__file__).resolve().parents[1]
LIMITS = {"conformance": 60, "tests": 50, "unet": 90, "generators": 200}
SLACK = 5.0
"""Seconds before its limit at which a part begins nothing new."""
PYTEST_START = 15.0
"""Seconds of the tests' limit that are kept for starting and for reading the log."""
PEAKS = {"H100 80GB HBM3": 989e12, "H200": 989e12}
"""Dense bfloat16 FLOP/s by Nvidia's data sheets; of other cards no share is given."""
GENERATORS = {
    "biggan.imagenet128": 128,
    "sagan.imagenet128": 128,
    "sngan.imagenet128": 128,
    "uncondgan.imagenet128": 128,
    "acgan.tinyimagenet64": 256,
    "sagan.tinyimagenet64": 256,
    "biggan.tinyimagenet64": 256,
    "biggandeep.imagenet128": 128,
    "biggandeep.imagenet256": 32,
    "stylegan2.afhqwild512": 16,
    "biggandeep.imagenet512": 16,
    "stylegan2.ffhq1024": 8,
}
"""Pictures in a batch; half as many where memory runs out."""
PRECISIONS = ("float32", "TF32", "bfloat16")
LAYOUTS = {"": torch.contiguous_format, " channels-last": torch.channels_last}
TOLERANCE, MEAN_TOLERANCE, CODE_TOLERANCE = 1e-4, 1e-5, 1e-5
"""Of pictures and of w, as in the tests on the CPU."""
WARM, REPEATS, REPEAT_SECONDS = 3, 7, 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What a part is asked for."""

    device: torch.device
    rehearsal: bool
    cases: tuple[Path, ...]
    filters: tuple[Path, ...]
    findings: "Findings"


class Findings:
    """What a part has found so far, in a file, so that nothing is lost if the part is ended."""

    def __init__(self, file: Path, seconds: float) -> None:
        self._file, self._began = file, time.monotonic()
        self._end = self._began + seconds - SLACK
        self.content: dict[str, Any] = {}

    def attempt(self, group: str, name: str, work: Callable[[], dict[str, Any]]) -> None:
        """Do one piece of work unless time is up; its error is a finding, too."""
        found: dict[str, Any]
        began = time.monotonic()
        if began > self._end:
            found = {"skipped": "time limit of the part"}
        else:
            try:
                found = work()
            except Exception as error:
                found = {"error": f"{type(error).__name__}: {error}"[:2000]}
                found["traceback"] = traceback.format_exc()[-4000:]
        found["seconds"] = round(time.monotonic() - began, 2)
        self.content.setdefault(group, {})[name] = found
        write_json(self._file, self.content)
        shown = {key: value for key, value in found.items() if key != "traceback"}
        print(f"[{time.monotonic() - self._began:6.1f} s] {group}: {name}: {shown}"[:400])
        gc.collect()


def write_json(file: Path, content: object) -> None:
    part = file.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1, ensure_ascii=False))
    part.replace(file)


@contextmanager
def tf32(allowed: bool, *, matmul: bool | None = None) -> Iterator[None]:
    """Allow TF32 in convolutions and, unless it is said apart, in matrix products, or forbid it."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = allowed if matmul is None else matmul
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def conformance(task: Task) -> None:
    device, attempt = task.device, task.findings.attempt
    with tf32(False):
        attempt("TF32 probe", "off", lambda: probe(device))
        for folder in task.cases:
            run = partial(compare_with_public_program, folder, device)
            attempt("checkpoints", folder.name, run)
        attempt("U-Net", "outputs", lambda: compare_unet(device))
        sizes = (8, 2, 32) if task.rehearsal else (64, 8, 128)
        attempt("U-Net", "gradients", lambda: compare_gradients(device, *sizes))
        for folder in task.filters:
            run = partial(compare_samples, folder, device)
            attempt("samples", f"conformance pictures of {folder.parent.name}", run)
        count = 8 if task.rehearsal else 256
        attempt("samples", "random pictures", lambda: compare_random_samples(count, device))
        attempt("metrics", "conformance and random", lambda: compare_metrics(count, device))
        attempt("embedded", "generators", lambda: compare_embedded(device))
    with tf32(True, matmul=False):  # what PyTorch does unless it is told otherwise
        for folder in task.cases:
            run = partial(compare_with_public_program, folder, device)
            attempt("checkpoints with TF32 convolutions", folder.name, run)
        attempt("U-Net with TF32 convolutions", "outputs", lambda: compare_unet(device))
        attempt(
            "U-Net with TF32 convolutions", "gradients", lambda: compare_gradients(device, *sizes)
        )
    with tf32(True):
        attempt("TF32 probe", "on", lambda: probe(device))


def probe(device: torch.device) -> dict[str, Any]:
    """Measure the error of a product and of a convolution: whether the switches do anything."""
    draw = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 512, 512, generator=draw).to(device).unbind()
    x = torch.randn(4, 64, 32, 32, generator=draw).to(device)
    w = torch.randn(64, 64, 3, 3, generator=draw).to(device)
    product, exact = a @ b, a.double() @ b.double()
    folded, wanted = torch.conv2d(x, w), torch.conv2d(x.double(), w.double())
    return {
        "product": ((product - exact).abs().max() / exact.abs().max()).item(),
        "convolution": ((folded - wanted).abs().max() / wanted.abs().max()).item(),
    }


def tests(task: Task) -> None:
    marked = [
        str(file.relative_to(ROOT))
        for file in sorted((ROOT / "tests").rglob("test_*.py"))
        if "mark.gpu" in file.read_text(encoding="utf-8")
    ]
    options = ["-m", "gpu", "-q", "-rA", "--tb=short", "-p", "no:cacheprovider"]
    # Another machine's libraries may warn of other things than ours.
    options += ["-o", "filterwarnings=default", "-p", "pytest_timeout", "--timeout=30"]

    def run() -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *marked],
            cwd=ROOT,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            timeout=LIMITS["tests"] - PYTEST_START,
            check=False,
        )
        lines = (done.stdout + done.stderr).splitlines()
        summary = (done.stdout.splitlines() or lines or [""])[-1]
        return {"exit": done.returncode, "summary": summary, "log": lines[-150:]}

    task.findings.attempt("pytest", "-m gpu", run)


def unet(task: Task) -> None:
    from training import BareSteps
    from training import Case as Training

    batch, side, width = (2, 32, 8) if task.rehearsal else (95, 128, 64)

    def measure(precision: str, count: int) -> dict[str, Any]:
        narrow = "bfloat16" if precision == "bfloat16" else "float32"
        config = replace(preset("paper"), batch=count, width=width, precision=narrow)
        step = BareSteps(Training(config=config, resolution=side, pairs=0, target=0.0), task.device)
        flops = count_flops(step) / count
        return timed(step, count, flops, task)

    for precision in PRECISIONS:
        with tf32(precision == "TF32"):
            tune(precision)
            run = partial(fitting, partial(measure, precision), batch)
            name = f"width {width}, {side} px"
            task.findings.attempt(name, f"{precision} channels-last", run)


def generators(task: Task) -> None:
    for name, batch in GENERATORS.items():
        made: dict[str, Any] = {}

        task.findings.attempt(name, "network", partial(describe, made, name, task))
        if "flops" not in made:
            continue
        for precision, layout in product(PRECISIONS, LAYOUTS):
            tune(precision)
            measure = partial(time_forwards, made, precision, layout, task)
            run = partial(fitting, measure, 2 if task.rehearsal else batch)
            task.findings.attempt(name, f"{precision}{layout}", run)
        made.clear()
        if task.device.type == "cuda":
            torch.cuda.empty_cache()


def tune(precision: str) -> None:
    """Let cuDNN try its algorithms, but not in float32: half a minute there for each network."""
    torch.backends.cudnn.benchmark = precision != "float32"


def describe(made: dict[str, Any], name: str, task: Task) -> dict[str, Any]:
    """Build a generator, keep it with the FLOPs of a picture, and say what it is."""
    made["generator"] = generator = build_generator(name, task)
    # Not inference_mode, in which the counter of some releases misses operations.
    with torch.no_grad(), tf32(False):
        code, y = inputs(generator, 1)
        made["flops"] = count_flops(partial(generator, code, y))
        pictures = generator(code, y)
    return {
        "gflops_per_picture": made["flops"] / 1e9,
        "resolution": generator.card.resolution,
        "parameters": sum(each.numel() for each in generator.parameters()),
        "finite": bool(pictures.isfinite().all()),
        "std": pictures.std().item(),
    }


def build_generator(name: str, task: Task) -> Generator:
    """Build a published generator at full size (in a rehearsal, narrow) with random weights."""
    from generators import empty

    entry = next(entry for entry in PUBLISHED if entry.card.name == name)
    if task.rehearsal:
        entry = narrowed(entry)
    network = empty(entry).to_empty(device=task.device)
    torch.manual_seed(0)
    with torch.no_grad():
        for key, tensor in network.state_dict().items():
            if not tensor.is_floating_point():
                tensor.zero_()
            elif re.search(r"running_var|\.norm\w*\.weight$|\.bn\.weight$", key):
                tensor.fill_(1)
            elif tensor.ndim > 1:
                tensor.normal_(0, tensor[0].numel() ** -0.5)
            else:
                tensor.normal_(0, 0.02)
        if hasattr(network, "filter"):  # StyleGAN2's, which is no weight
            taps = torch.tensor([1.0, 3.0, 3.0, 1.0], device=task.device)
            network.filter.copy_(torch.outer(taps, taps) / 64)
    return Generator(network, entry.card)


def narrowed(entry: PublishedGenerator) -> PublishedGenerator:
    """Make a published generator a few channels wide."""
    numbers = dict(entry.config["config"])
    for key in ("g_conv_dim", "G_ch", "nfilter", "channel_width"):
        if key in numbers:
            numbers[key] = 8
    card = entry.card
    if card.architecture == "stylegan2":
        card = replace(card, resolution=64)
    return replace(entry, card=card, config={**entry.config, "config": numbers})


def inputs(generator: Generator, count: int) -> tuple[Tensor, Tensor | None]:
    card, device = generator.card, generator.device
    code = generator.code(latents(0, range(count), card.latent_dim).to(device))
    y = labels(0, range(count), card.num_classes)
    return code, None if y is None else y.to(device)


def time_forwards(
    made: dict[str, Any], precision: str, layout: str, task: Task, count: int
) -> dict[str, Any]:
    generator = made["generator"].to(memory_format=LAYOUTS[layout])
    narrow = "bfloat16" if precision == "bfloat16" else "float32"
    call = forward_with(generator, ForwardSetting(precision=narrow))
    with torch.inference_mode(), tf32(precision == "TF32"):
        code, y = inputs(generator, count)
        return timed(lambda: call(code, y), count, made["flops"], task)


def count_flops(run: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def fitting(measure: Callable[[int], dict[str, Any]], batch: int) -> dict[str, Any]:
    """Measure with half the batch as often as memory runs out."""
    while True:
        try:
            return measure(batch)
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
        gc.collect()
        torch.cuda.empty_cache()
        batch //= 2


def timed(run: Callable[[], object], count: int, flops: float, task: Task) -> dict[str, Any]:
    """Time a piece of work on some pictures: the median of several repeats."""
    cuda = task.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    warm, repeats = (1, 2) if task.rehearsal else (WARM, REPEATS)
    for _ in range(warm):
        run()
    once = spent(run, 1, cuda=cuda)
    calls = 1 if task.rehearsal else max(1, math.ceil(REPEAT_SECONDS / once))
    found = [spent(run, calls, cuda=cuda) / calls for _ in range(repeats)]
    rate = count / statistics.median(found)
    peak = next((value for key, value in PEAKS.items() if key in task_card(task)), None)
    return {
        "batch": count,
        "pictures_per_second": rate,
        "slowest": count / max(found),
        "fastest": count / min(found),
        "tflop_per_second": rate * flops / 1e12,
        "share_of_bfloat16_peak": rate * flops / peak if peak else None,
        "memory_gib": torch.cuda.max_memory_allocated() / 2**30 if cuda else None,
    }


def task_card(task: Task) -> str:
    return torch.cuda.get_device_name(task.device) if task.device.type == "cuda" else "CPU"


def spent(run: Callable[[], object], calls: int, *, cuda: bool) -> float:
    if not cuda:
        began = time.perf_counter()
        for _ in range(calls):
            run()
        return time.perf_counter() - began
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    first.record()
    for _ in range(calls):
        run()
    last.record()
    torch.cuda.synchronize()
    return first.elapsed_time(last) / 1000


class Case:
    """A case of a public program: its file, its config and what it gave."""

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        self.family: str = self.config["family"]
        self.file = folder / self.config["checkpoint"]["file"]
        self.packed = self.file.with_name(f"{self.file.name}.gz")
        with np.load(folder / "reference.npz") as arrays:
            self.arrays = {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def conformance_folders(shared: Path | None) -> list[Path]:
    """Find the complete cases, or else the few that the repository carries."""
    folder = (shared or ROOT / "none") / "conformance" / "cases"
    if not folder.is_dir():
        folder = ROOT / "tests" / "data" / "generators" / "cases"
    return sorted(path for path in folder.iterdir() if (path / "config.json").is_file())


@torch.no_grad()
def compare_with_public_program(folder: Path, device: torch.device) -> dict[str, Any]:
    """Compare a generator's pictures with the public program's, at the CPU tests' tolerance."""
    case = Case(folder)
    compared, within = {}, True
    with tempfile.TemporaryDirectory() as unpacked:
        if not case.file.exists():
            case.file = Path(unpacked) / case.file.name
            case.file.write_bytes(gzip.decompress(case.packed.read_bytes()))
        for name, found, expected in COMPARISONS.get(case.family, residual)(case, device):
            error = (found.cpu() - expected).abs()
            largest, mean = error.max().item(), error.mean().item()
            compared[name] = {"max": largest, "mean": mean}
            limit = CODE_TOLERANCE if name.startswith("ws") else TOLERANCE
            within = within and largest <= limit and mean <= MEAN_TOLERANCE
    return {
        "within_tolerance": within,
        "max_error": max(each["max"] for each in compared.values()),
        "compared": compared,
    }


Compared = Iterator[tuple[str, Tensor, Tensor]]


def residual(case: Case, device: torch.device) -> Compared:
    arrays = case.arrays
    generator = from_checkpoint(case.file, case.config, device=device)
    z, y = arrays["z"].to(device), arrays["y"].to(device) if "y" in arrays else None
    pictures = generator(generator.code(z), y)
    if "x" in arrays:
        yield "x", pictures[:1], arrays["x"]
    yield "x_stride4", quarter(pictures), arrays["x_stride4"]
    if "shift" in arrays:
        code = generator.code(z[:1]) + arrays["shift"].to(device)
        yield "x_shifted_stride4", quarter(generator(code)), arrays["x_shifted_stride4"]
    if "x_generator_test_stride4" in arrays:
        config = {**case.config, "checkpoint": {"weights_at": "generator_test"}}
        pictures = from_checkpoint(case.file, config, device=device)(z, y)
        yield "x_generator_test_stride4", quarter(pictures), arrays["x_generator_test_stride4"]


def stylegan2(case: Case, device: torch.device) -> Compared:
    arrays, family = case.arrays, {"family": "stylegan2"}
    z, load = arrays["z"].to(device), partial(from_checkpoint, case.file, device=device)
    generator = load(case.config)
    w = generator.code(z)
    yield "ws", w[:, None].expand_as(arrays["ws"]), arrays["ws"]
    pictures = generator(w)
    yield "x_stride4", quarter(pictures[: len(arrays["x_stride4"])]), arrays["x_stride4"]
    if "x_crop" in arrays:
        yield "x_crop", pictures[:1, :, 96:160, 96:160], arrays["x_crop"]
    cutoff = case.config["reference"]["truncation_cutoff"]
    cut = load(case.config, truncation=(0.5, cutoff))
    w = cut.code(z)
    yield "ws_psi05", cut.network.styles(w), arrays["ws_psi05"]
    yield "x_psi05_cutoff_stride4", quarter(cut(w[:1])), arrays["x_psi05_cutoff_stride4"]
    whole = load(family, truncation=0.7)
    yield "x_psi07_stride4", quarter(whole(whole.code(z[:1]))), arrays["x_psi07_stride4"]
    silent = load({**family, "config": {"noise_mode": "none"}})
    yield (
        "x_noise_none_stride4",
        quarter(silent(silent.code(z[:1]))),
        arrays["x_noise_none_stride4"],
    )


def biggan_deep(case: Case, device: torch.device) -> Compared:
    arrays = case.arrays
    z, y = arrays["z"].to(device), arrays["y"].to(device)
    generator = from_checkpoint(case.file, case.config, device=device)
    for number, truncation in enumerate(arrays["truncations"].tolist()):
        generator.network.truncation = round(truncation, 6)
        pictures = generator(generator.code(z), y)
        if number == 0:
            yield "x", pictures[:1], arrays["x"]
        key = "x_stride4" if number == 0 else f"x_stride4_t{number}"
        yield key, quarter(pictures[: len(arrays[key])]), arrays[key]


COMPARISONS = {"stylegan2": stylegan2, "biggandeep": biggan_deep}


def quarter(pictures: Tensor) -> Tensor:
    return pictures[:, :, ::4, ::4]


@torch.no_grad()
def compare_embedded(device: torch.device) -> dict[str, Any]:
    """Compare the embedded generators' pictures with the CPU's."""
    errors = {}
    for card in list_generators("embedded"):
        here, there = load_generator(card.name), load_generator(card.name, device=device)
        (code, y), (moved, labels) = inputs(here, 16), inputs(there, 16)
        error = (there(moved, labels).cpu() - here(code, y)).abs()
        errors[card.name] = {"max": error.max().item(), "mean": error.mean().item()}
    return {"max_error": max(each["max"] for each in errors.values()), "errors": errors}


def compare_samples(folder: Path, device: torch.device) -> dict[str, Any]:
    """Compare masks, histograms and verdicts on the conformance pictures with the CPU's."""
    differences: Counter[str] = Counter()
    with np.load(folder / "cases.npz") as arrays:
        held = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    for name in sorted({key.rsplit("_", 1)[0] for key in held}):
        pictures = [held[f"{name}_img"], held[f"{name}_shifted"]]
        pictures.append(held.get(f"{name}_dark", pictures[-1]))
        differences.update(
            count_differences([(each.float() + 0.5) / 128 - 1 for each in pictures], device)
        )
    return summary(differences)


def compare_random_samples(count: int, device: torch.device) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(0)
    coarse = torch.randint(256, (3, count, 3, 16, 16), generator=draw).float()
    smooth = F.interpolate(coarse.flatten(0, 1), scale_factor=8, mode="bilinear")
    pixels = smooth.round().to(torch.uint8).view(3, count, 3, 128, 128)
    return summary(count_differences([from_uint8(each) for each in pixels], device))


def summary(differences: Counter[str]) -> dict[str, Any]:
    """Say what differs.

    Affine masks solve equations, whose last bits are a device's own. Components, roundness,
    agreement and the maxima of histograms are looked for on the CPU wherever the pictures are.
    """
    exact = not any(n for what, n in differences.items() if "affine" not in what)
    return {"equal_but_affine": exact, "values_that_differ": dict(differences)}


@torch.no_grad()
def count_differences(pictures: list[Tensor], device: torch.device) -> "Counter[str]":
    """Count the values that differ from the CPU's: pixels of masks, bins, reasons."""
    moved = [picture.to(device) for picture in pictures]
    found: Counter[str] = Counter()
    found["bytes"] = differing(to_uint8(pictures[1]), to_uint8(moved[1]))
    for rule in ("text", "program"):
        counts = (histogram_counts(each[1], rule, 12) for each in (pictures, moved))
        found[f"histogram {rule}"] = differing(*counts)
    for kind, rule in product(("lighter", "darker", "both", "mean"), get_args(MaskRule)):
        masks = [make_masks(kind, *each, rule=rule) for each in (pictures, moved)]
        found[f"mask {kind} {rule}"] = differing(*masks)
    masks = [make_masks("affine_each", *each) for each in (pictures, moved)]
    found["mask affine_each"] = differing(*masks)
    masks = [make_masks("lighter", *each) for each in (pictures, moved)]
    for name in get_args(FilterPreset):
        here, there = (
            judge(mask, [each[1]], filter_preset(name))
            for mask, each in zip(masks, (pictures, moved), strict=True)
        )
        found[f"verdicts {name}"] = int((here.reasons != there.reasons).sum())
        found[f"cleaned masks {name}"] = int((here.masks != there.masks).sum())
    return found


def differing(here: Tensor, there: Tensor) -> int:
    return int((here != there.cpu()).sum())


def compare_metrics(count: int, device: torch.device) -> dict[str, Any]:
    """Compare pixel counts of equal probabilities with the CPU's, and the scores of both."""
    draw = torch.Generator().manual_seed(0)
    batches = [
        (
            torch.rand(count, 128, 128, generator=draw),
            torch.rand(count, 128, 128, generator=draw) > 0.6,
        ),
        (
            torch.randint(256, (count, 64, 64), generator=draw) / 255,
            torch.rand(count, 64, 64, generator=draw) > 0.3,
        ),
    ]
    with np.load(ROOT / "tests" / "data" / "metrics" / "cases.npz") as arrays:
        for key in (key for key in arrays.files if key.startswith("logits_")):
            probability = torch.from_numpy(arrays[key]).softmax(0)[1][None]
            truth = torch.from_numpy(arrays[key.replace("logits", "gt")])[None] > 0
            batches.append((probability, truth))
    counts = errors = scores = 0
    for probability, truth in batches:
        here = pixel_histogram(probability, truth)
        there = pixel_histogram(probability.to(device), truth.to(device))
        counts += int((here.counts != there.counts).sum())
        errors += int((here.error != there.error).sum())
        for profile in PROFILES.values():
            one, other = (score_images(each, profile) for each in (here, there))
            scores += int((one.curve != other.curve).sum())
    differences = {"counts": counts, "error sums": errors, "curves": scores}
    return {"equal": not any(differences.values()), "values_that_differ": differences}


@torch.no_grad()
def compare_unet(device: torch.device) -> dict[str, Any]:
    """Compare the U-Net's logits with the public program's, at the CPU test's tolerance."""
    facts = ROOT / "tests" / "data" / "segmenters"
    manifest = json.loads((facts / "unet_manifest.json").read_text())
    network = UNet()
    state = {key: filled(key, shape) for key, shape, _ in manifest["state_dict"]}
    network.load_state_dict(state)
    errors = {}
    with np.load(facts / "unet_case.npz") as arrays:
        cases = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    for case, (label, layout) in product((0, 1, 2), LAYOUTS.items()):
        network = network.eval().to(device, memory_format=layout)
        logits = network(cases[f"input_{case}"].to(device)).cpu()
        at = tuple(cases[f"positions_{case}"].T)
        error = (logits[at] - cases[f"values_{case}"]).abs().max().item()
        errors[f"case {case}{label}"] = error
    largest = max(errors.values())
    return {"within_tolerance": largest <= TOLERANCE, "max_error": largest, "errors": errors}


def filled(key: str, shape: list[int]) -> Tensor:
    """Fill a tensor of the U-Net by the rule that stands in for weights (tests/segmenters)."""
    noise = np.asarray(
        np.random.Generator(np.random.PCG64(crc32(key.encode()))).standard_normal(shape)
    )
    if key.endswith("num_batches_tracked"):
        return torch.tensor(1)
    if key.endswith(("running_mean", "bias")):
        values = 0.1 * noise
    elif key.endswith("running_var"):
        values = np.exp(0.2 * noise)
    elif len(shape) == 4:
        values = np.sqrt(2) * noise / np.sqrt(np.prod(shape[1:]))
    else:
        values = 1 + 0.1 * noise
    return torch.from_numpy(values.astype(np.float32))


def compare_gradients(device: torch.device, width: int, count: int, side: int) -> dict[str, Any]:
    """Compare the gradients of one step in float32 with the CPU's, and both with float64.

    An error is relative to the largest gradient of its tensor. Biases before a batch normalisation
    are left out: their gradients are zero but for rounding.
    """
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(count, 3, side, side, generator=draw) * 2 - 1
    targets = torch.randint(2, (count, side, side), generator=draw)

    def step(where: torch.device, dtype: torch.dtype) -> tuple[float, dict[str, Tensor]]:
        network = blank_unet(width=width)
        initialise(network, 0)
        network.to(where, dtype, memory_format=torch.channels_last)
        loss = F.cross_entropy(network(images.to(where, dtype)), targets.to(where))
        loss.backward()
        gradients = {name: each.grad.double().cpu() for name, each in network.named_parameters()}
        kept = {n: g for n, g in gradients.items() if not re.search(r"conv\.[03]\.bias$", n)}
        return loss.item(), kept

    here, there = step(torch.device("cpu"), torch.float32), step(device, torch.float32)
    exact = step(device, torch.float64)

    def errors(one: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, Any]:
        found = {
            n: ((g - other[n]).abs().max() / other[n].abs().max()).item() for n, g in one.items()
        }
        worst = max(found, key=lambda name: found[name])
        return {"max": found[worst], "at": worst, "median": statistics.median(found.values())}

    return {
        "max_relative_error": errors(there[1], here[1])["max"],
        "device against CPU": errors(there[1], here[1]),
        "device against float64": errors(there[1], exact[1]),
        "CPU against float64": errors(here[1], exact[1]),
        "losses": {"CPU": here[0], "device": there[0], "float64": exact[0]},
        "step": f"width {width}, {count} pictures of {side} px",
    }


def markdown(content: dict[str, Any]) -> str:
    """Show what was found as tables."""
    card = content["card"]
    lines = [f"# {card['name']}", ""]
    lines += [f"- {key}: {value}" for key, value in card.items() if key != "name"]
    lines += [
        f"- part {part}: {content[part]['state']}, {content[part]['seconds']} s"
        for part in PARTS
        if part in content
    ]
    for part in ("conformance", "tests"):
        for group, entries in content.get(part, {}).get("findings", {}).items():
            lines += ["", f"## {group}", "", "| what | finding |", "|---|---|"]
            lines += [f"| {name} | {brief(found)} |" for name, found in entries.items()]
    for part in ("unet", "generators"):
        lines += speeds(part, content.get(part, {}).get("findings", {}))
    return "\n".join(lines) + "\n"


def brief(found: dict[str, Any]) -> str:
    """Give a finding in a cell."""
    shown = []
    for key, value in found.items():
        if key in ("compared", "traceback", "seconds", "log"):
            continue
        if isinstance(value, dict):
            inside = [
                f"{k} {rounded(v)}" for k, v in value.items() if v and not isinstance(v, dict)
            ]
            value = f"({', '.join(inside) or 'none'})"
        shown.append(f"{key} {rounded(value)}")
    return ", ".join(shown).replace("|", "/").replace("\n", " ")


def rounded(value: object) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def speeds(part: str, findings: dict[str, Any]) -> list[str]:
    """Give the table of one part's pictures a second, and what fewer pictures or errors say."""
    columns = [f"{precision}{layout}" for precision, layout in product(PRECISIONS, LAYOUTS)]
    if part == "unet":
        columns = [column for column in columns if column.endswith("channels-last")]
    head = ["network", "GFLOP", "batch", *columns, "best TFLOP/s", "of bfloat16's peak", "GiB"]
    lines = ["", f"## Pictures a second: {part}", "", "| " + " | ".join(head) + " |"]
    lines += ["|---" + "|---:" * (len(head) - 1) + "|"]
    for name, cells in findings.items():
        measured = [found for found in cells.values() if "pictures_per_second" in found]
        best = max(measured, key=lambda found: found["tflop_per_second"], default={})
        flops = {
            found["tflop_per_second"] * 1e3 / found["pictures_per_second"] for found in measured
        }
        share = best.get("share_of_bfloat16_peak")
        row = [
            name,
            f"{max(flops):.3g}" if flops else "-",
            "/".join(str(n) for n in sorted({found["batch"] for found in measured})) or "-",
            *(rate(cells.get(column, {})) for column in columns),
            f"{best['tflop_per_second']:.1f}" if best else "-",
            f"{share:.1%}" if share else "-",
            f"{max(found['memory_gib'] or 0 for found in measured):.1f}" if measured else "-",
        ]
        lines.append("| " + " | ".join(row) + " |")
    return lines


def rate(found: dict[str, Any]) -> str:
    if "pictures_per_second" in found:
        return f"{found['pictures_per_second']:,.1f}"
    return found.get("error", "not measured").split(":")[0]


PARTS: dict[str, Callable[[Task], None]] = {
    "conformance": conformance,
    "tests": tests,
    "unet": unet,
    "generators": generators,
}


def run_part(options: argparse.Namespace) -> None:
    """Do one part, in this process."""
    sys.stdout.reconfigure(line_buffering=True)
    device = torch.device("cpu" if options.cpu_rehearsal else "cuda")
    task = Task(
        device=device,
        rehearsal=options.cpu_rehearsal,
        cases=tuple(conformance_folders(options.shared)),
        filters=tuple(
            folder
            for folder in (
                ROOT / "tests" / "data" / "samples",
                *([options.shared / "conformance" / "filters"] if options.shared else []),
            )
            if folder.is_dir()
        ),
        findings=Findings(part_file(options.out, options.part), LIMITS[options.part]),
    )
    PARTS[options.part](task)


def part_file(out: Path, part: str) -> Path:
    return out / f"part-{part}.json"


def run_all(options: argparse.Namespace) -> dict[str, Any]:
    """Do all parts, each in a process of its own."""
    content: dict[str, Any] = {"card": facts(options)}
    for part in options.parts:
        print(f"--- {part}: at most {LIMITS[part]} s", flush=True)
        command = [sys.executable, __file__, *sys.argv[1:], "--part", part]
        began, state = time.monotonic(), "done"
        try:
            code = subprocess.run(command, timeout=LIMITS[part], check=False).returncode
            state = "done" if code == 0 else f"ended with exit code {code}"
        except subprocess.TimeoutExpired:
            state = f"stopped after {LIMITS[part]} s"
        file = part_file(options.out, part)
        found = json.loads(file.read_text()) if file.exists() else {}
        file.unlink(missing_ok=True)
        took = round(time.monotonic() - began, 1)
        content[part] = {"state": state, "seconds": took, "findings": found}
        print(f"--- {part}: {state}, {took} s", flush=True)
        keep(options.out, content)
    return content


def facts(options: argparse.Namespace) -> dict[str, Any]:
    cuda = not options.cpu_rehearsal
    query = partial(said, "nvidia-smi", "--format=csv,noheader")
    fields = "clocks.max.sm,power.limit"
    return {
        "name": torch.cuda.get_device_name() if cuda else "CPU rehearsal",
        "memory_gib": torch.cuda.get_device_properties(0).total_memory / 2**30 if cuda else None,
        "driver": query("--query-gpu=driver_version"),
        fields: query(f"--query-gpu={fields}"),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": options.commit or said("git", "-C", str(ROOT), "rev-parse", "HEAD"),
    }


def said(*command: str) -> str | None:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=20, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def keep(out: Path, content: dict[str, Any]) -> None:
    slug = re.sub(r"[^a-z0-9]+", "-", content["card"]["name"].lower()).strip("-")
    write_json(out / f"{slug}.json", content)
    try:
        (out / f"{slug}.md").write_text(markdown(content))
    except (KeyError, TypeError, ValueError) as error:  # the numbers are safe in the JSON
        print(f"No tables: {type(error).__name__}: {error}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the two files")
    parser.add_argument("--shared", type=Path, help="folder with the complete conformance cases")
    parser.add_argument("--cpu-rehearsal", action="store_true", help="in small, on the CPU")
    parser.add_argument("--commit", help="recorded where git does not tell it")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if not (options.cpu_rehearsal or torch.cuda.is_available()):
        parser.error("there is no CUDA device; --cpu-rehearsal needs none.")
    if options.part:
        run_part(options)
        return
    run_all(options)


if __name__ == "__main__":
    main()

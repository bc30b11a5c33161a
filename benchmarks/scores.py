"""Cost of scoring, as ratios within one run: `python benchmarks/scores.py`.

- Metrics of one 128 px picture in one pass against a loop of 255 tensor passes (to reach: 1/50).
- Pixel counts of batches of 32 pictures at three sizes.
- Scoring photographs at 128 px in each protocol, wall time over the time of the segmenter's forward
  passes alone, on the same batches already in memory (to reach: 1.3). Without `--benchmark` the
  photographs are made up, at 640x480 in JPEG.
- Bootstrap intervals, and opening a benchmark of 5,000 pictures for the first and second time.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from gseg.features.networks import scenes_features
from gseg.images import from_uint8
from gseg.metrics.counts import pixel_histogram
from gseg.metrics.profiles import metric_profile
from gseg.metrics.sums import MetricSums
from gseg.scores.baselines import centre_disc, otsu
from gseg.scores.batches import equal_shapes
from gseg.scores.benchmarks import Benchmark, FolderBenchmark, ScenesBenchmark, open_benchmark
from gseg.scores.feature_statistics import collect_statistics
from gseg.scores.fid import REFERENCE_PICTURES, compare
from gseg.scores.picture_sources import SCENES_SOURCE, ScenesPictures
from gseg.scores.protocol import Predict, Scores, bootstrap_intervals, score
from gseg.scores.specs import SCORES, EvalProtocol


def best_seconds(
    work: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    times = []
    for _ in range(repeats):
        began = clock()
        work()
        times.append(clock() - began)
    return min(times)


def loop_of_passes(probability: Tensor, mask: Tensor) -> Tensor:
    """One comparison of the whole picture, and two sums, for each threshold."""
    thresholds = torch.arange(0, 1, 1 / 255, dtype=torch.float64).tolist()
    hits, found = [], []
    for threshold in thresholds:
        predicted = probability > threshold
        hits.append((predicted & mask).sum())
        found.append(predicted.sum())
    return (1.3 * torch.stack(hits) / (0.3 * mask.sum() + torch.stack(found))).max()


def metrics(side: int = 128) -> None:
    generator = torch.Generator().manual_seed(0)
    probability = torch.rand(1, side, side, generator=generator)
    mask = torch.rand(1, side, side, generator=generator) > 0.7
    sums = MetricSums(profile=metric_profile("voynov2021"))
    one_pass = best_seconds(lambda: sums.update(pixel_histogram(probability, mask)), 300)
    loop = best_seconds(lambda: loop_of_passes(probability[0], mask[0]), 10)
    print(
        f"metrics, {side} px: one pass {1e3 * one_pass:.3f} ms, 255 passes {1e3 * loop:.2f} ms: "
        f"1/{loop / one_pass:.0f}"
    )


def batches(count: int = 32) -> None:
    """Metrics of whole batches, whose cost should grow as their pixels do, and no faster."""
    spent = {}
    for side in (32, 128, 320):
        generator = torch.Generator().manual_seed(0)
        probability = torch.rand(count, side, side, generator=generator)
        mask = torch.rand(count, side, side, generator=generator) > 0.7
        # Of the processor: other programs interrupt what takes longest.
        seconds = best_seconds(
            lambda p=probability, m=mask: pixel_histogram(p, m), 30, time.process_time
        )
        spent[side] = 1e3 * seconds / count
    each = ", ".join(f"{side} px {cost:.3f} ms" for side, cost in spent.items())
    growth, pixels = spent[320] / spent[128], (320 / 128) ** 2
    print(
        f"pixel counts, {count} pictures at once: {each} of CPU a picture; 320 px over 128 px "
        f"{growth:.1f} for {pixels:.2f} times the pixels"
    )


def scoring(benchmark: Benchmark, working_size: int, width: int, device: str) -> None:
    for protocol in get_args(EvalProtocol):
        wall, forward = score_seconds(benchmark, working_size, width, device, protocol)
        rest = 1e3 * (wall - forward) / len(benchmark)
        print(
            f"scoring {benchmark.name}, {protocol}, {len(benchmark)} pictures at {working_size} px,"
            f" U-Net width {width} on {device}: wall {wall:.2f} s, forward alone {forward:.2f} s, "
            f"ratio {wall / forward:.2f}; {rest:.2f} ms a picture beside the forward"
        )


def score_seconds(
    benchmark: Benchmark, working_size: int, width: int, device: str, protocol: EvalProtocol
) -> tuple[float, float]:
    """Seconds of scoring, and of the segmenter's forwards on the same batches in memory."""
    from gseg.segmenters.unet import UNet

    network = UNet(width=width).eval().to(device, memory_format=torch.channels_last)

    def predict(images: Tensor) -> Tensor:
        return network(images.to(memory_format=torch.channels_last)).softmax(1)[:, 1]

    how = {"protocol": "text", "size": working_size, "batch": 32, "readers": 4}
    groups = [
        from_uint8(torch.stack([each.picture for each in group])).to(device)
        for group in equal_shapes(benchmark, [], **how)
    ]
    forward = best_seconds(lambda: finished(predict, groups, device), 2)
    wall = best_seconds(
        lambda: score(
            predict, benchmark, protocol=protocol, working_size=working_size, device=device
        ),
        2,
    )
    return wall, forward


@torch.no_grad()
def finished(predict: Predict, groups: list[Tensor], device: str) -> None:
    for group in groups:
        predict(group)
    if device != "cpu":
        torch.cuda.synchronize()


def intervals(pictures: int) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({name: rng.random(pictures) for name in SCORES} | {"profile": "sod"})
    scores = Scores(
        benchmark="made up",
        protocol="text",
        working_size=128,
        table=table,
        sums=(),
        skipped=(),
        curves={"sod": rng.random((pictures, 256), np.float32)},
    )
    seconds = best_seconds(lambda: bootstrap_intervals(scores), 1)
    print(f"bootstrap of {pictures} pictures, one profile: {seconds:.2f} s")


def opening(folder: Path, pictures: int) -> None:
    for name in ("DUT-OMRON-image", "pixelwiseGT-new-PNG"):
        (folder / name).mkdir()
    picture, mask = folder / "picture.jpg", folder / "mask.png"
    Image.fromarray(np.zeros((300, 400, 3), np.uint8)).save(picture)
    Image.fromarray(np.zeros((300, 400), np.uint8)).save(mask)
    for number in range(pictures):
        (folder / "DUT-OMRON-image" / f"{number}.jpg").hardlink_to(picture)
        (folder / "pixelwiseGT-new-PNG" / f"{number}.png").hardlink_to(mask)
    spec = f"dut_omron+subset:{folder}"
    first, second = (best_seconds(lambda: open_benchmark(spec), 1) for _ in range(2))
    print(f"opening {pictures} pictures: {first:.2f} s, again {second:.2f} s")


def made_up_photographs(folder: Path, count: int, distinct: int = 40) -> None:
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for number in range(count):
        if number >= distinct:
            for name, suffix in (("images", "jpg"), ("masks", "png")):
                same = folder / name / f"{number % distinct}.{suffix}"
                (folder / name / f"{number}.{suffix}").hardlink_to(same)
            continue
        small = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        photograph = small.resize((640, 480), Image.Resampling.BICUBIC)
        photograph.save(folder / "images" / f"{number}.jpg", quality=90)
        mask = np.zeros((480, 640), np.uint8)
        mask[120:360, 200:440] = 255
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")


def baselines(benchmark: Benchmark) -> None:
    for name, predict in (("otsu", otsu), ("centre disc", centre_disc)):
        means = score(predict, benchmark).aggregates["melas2022_program"]
        print(
            f"{benchmark.name}, {name}: accuracy {means.accuracy:.3f}, IoU {means.iou:.3f}, "
            f"max Fβ {means.max_f_beta:.3f}"
        )


def distances(count: int) -> None:
    extractor = scenes_features()
    began = time.perf_counter()
    reference, others = (
        collect_statistics(
            ScenesPictures(count, first=first).batches(range(count)),
            extractor,
            source=SCENES_SOURCE,
            count=count,
        )
        for first in (0, count)
    )
    wall = (time.perf_counter() - began) / 2
    real = compare(others, reference)
    print(
        f"statistics: {count / wall:.0f} scenes a second; training scenes against other training "
        f"scenes: {real.value:.3f} ({real.protocol})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--benchmark", help="photographs, such as folder:PATH or ecssd:PATH")
    parser.add_argument("--width", type=int, default=64, help="width of the U-Net")
    parser.add_argument("--pictures", type=int, default=40, help="made-up photographs")
    parser.add_argument("--device", default="cpu", help="where the U-Net is")
    options = parser.parse_args()
    torch.set_num_threads(1)
    metrics()
    batches()
    intervals(5000)
    with tempfile.TemporaryDirectory() as folder:
        opening(Path(folder), 5000)
    if options.benchmark:
        photographs = open_benchmark(options.benchmark)
        baselines(photographs)
        scoring(photographs, 128, options.width, options.device)
    else:
        with tempfile.TemporaryDirectory() as folder:
            made_up_photographs(Path(folder), options.pictures)
            scoring(FolderBenchmark(folder), 128, options.width, options.device)
    scenes = ScenesBenchmark()
    baselines(scenes)
    scoring(scenes, 32, 16, options.device)
    distances(REFERENCE_PICTURES)


if __name__ == "__main__":
    main()

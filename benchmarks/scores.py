"""Cost of scoring, as ratios within one run: `python benchmarks/scores.py`.

- Metrics of one 128 px picture in one pass against a loop of 255 tensor passes (to reach: 1/50).
- Scoring a folder of photographs at 128 px, wall time over the segmenter's forward time alone
  (to reach: 1.3). Without `--folder` the photographs are made up, at 640x480 in JPEG.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gseg.features import scenes_features
from gseg.metrics import MetricSums, metric_profile, pixel_histogram
from gseg.scores.baselines import centre_disc, otsu
from gseg.scores.benchmarks import Benchmark, FolderBenchmark, ScenesBenchmark
from gseg.scores.fid import distance_between, scenes_moments
from gseg.scores.protocol import score


def best_seconds(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
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


def scoring(benchmark: Benchmark, working_size: int, width: int) -> None:
    from gseg.segmenters.unet import UNet

    network = UNet(width=width).eval()
    spent = 0.0

    def predict(images: Tensor) -> Tensor:
        nonlocal spent
        began = time.perf_counter()
        probability = network(images).softmax(1)[:, 1]
        spent += time.perf_counter() - began
        return probability

    began = time.perf_counter()
    score(predict, benchmark, working_size=working_size)
    wall = time.perf_counter() - began
    rest = 1e3 * (wall - spent) / len(benchmark)
    print(
        f"scoring {benchmark.name}, {len(benchmark)} pictures at {working_size} px, U-Net width "
        f"{width}: wall {wall:.1f} s, forward {spent:.1f} s, ratio {wall / spent:.2f}; "
        f"{rest:.2f} ms a picture beside the forward"
    )


def made_up_photographs(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for number in range(count):
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
    reference = scenes_moments(extractor, count=count)
    wall = time.perf_counter() - began
    real = distance_between(scenes_moments(extractor, count=count, first=count), reference)
    print(
        f"moments: {count / wall:.0f} scenes a second; training scenes against other training "
        f"scenes: {real.value:.3f} ({real.protocol})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="photographs: images/ and masks/")
    parser.add_argument("--width", type=int, default=64, help="width of the U-Net")
    parser.add_argument("--pictures", type=int, default=40, help="made-up photographs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    metrics()
    scenes = ScenesBenchmark()
    baselines(scenes)
    scoring(scenes, 32, 16)
    if options.folder:
        photographs = FolderBenchmark(options.folder)
        baselines(photographs)
        scoring(photographs, 128, options.width)
    else:
        with tempfile.TemporaryDirectory() as folder:
            made_up_photographs(Path(folder), options.pictures)
            scoring(FolderBenchmark(folder), 128, options.width)
    distances(5000)


if __name__ == "__main__":
    main()

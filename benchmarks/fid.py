"""Cost of metrics and distances: `python benchmarks/fid.py [--pictures 50000]`.

- Metrics of a picture in one pass, every profile with its curves, against a loop of 255 tensor
  passes (to reach: 50 times faster).
- Fréchet and kernel distance of many pictures: pictures a second and the largest memory of a
  process of its own, for as many as the kernel distance keeps vectors of and for all (to reach:
  memory that does not grow).
- Moments merged from parts against those of the whole (to reach: 1e-6 relative), and the distance
  against torch-fidelity's formula on the same features (1e-6).
- The Inception network with random weights: pictures a second on one thread.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from gseg.features.networks import InceptionNetwork, NetworkFeatures, like_tensorflow
from gseg.metrics.counts import pixel_histogram
from gseg.metrics.profiles import PROFILES, metric_profile
from gseg.metrics.sums import MetricSums
from gseg.pipeline.graph import Workshop
from gseg.pipeline.jobs.job import LocalBackend
from gseg.pipeline.jobs.pictures import PictureSet
from gseg.pipeline.stages.pictures import StatisticsNode
from gseg.scores.feature_statistics import KEPT, Moments
from gseg.scores.fid import compare, frechet_distance
from gseg.storage.store import Store


def best_seconds(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def metrics(side: int = 128) -> None:
    generator = torch.Generator().manual_seed(0)
    probability = torch.rand(1, side, side, generator=generator)
    mask = torch.rand(1, side, side, generator=generator) > 0.7
    thresholds = torch.arange(0, 1, 1 / 255, dtype=torch.float64).tolist()

    def loop() -> torch.Tensor:
        hits = torch.stack([((probability > t) & mask).sum() for t in thresholds])
        found = torch.stack([(probability > t).sum() for t in thresholds])
        return (1.3 * hits / (0.3 * mask.sum() + found)).max()

    slow = best_seconds(loop, 10)
    for name in PROFILES:
        sums = MetricSums(profile=metric_profile(name))

        def one_pass(sums: MetricSums = sums) -> None:
            sums.update(pixel_histogram(probability, mask))

        fast = best_seconds(one_pass, 300)
        print(f"metrics, {side} px, {name}: {1e3 * fast:.3f} ms, {slow / fast:.0f} times faster")


def _peak_megabytes() -> float:
    """Read the process's own high-water mark; that of `resource` is inherited from the parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def distance(pictures: int, generator: str) -> None:
    """Run in a process of its own, so that its peak is of this work."""
    torch.set_num_threads(1)
    before = _peak_megabytes()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        shop = Workshop(Store(Path(folder)), LocalBackend())
        both = [
            StatisticsNode(pictures=chosen, features="scenes", device="cpu").read(shop)
            for chosen in (
                PictureSet(generator=generator, count=pictures),
                PictureSet(count=pictures, resolution=32),
            )
        ]
        taken = time.perf_counter() - began
        began = time.perf_counter()
        found = compare(*both)
        compared = time.perf_counter() - began
    assert found.kernel is not None
    print(
        f"distance of {generator}, {pictures} pictures: {2 * pictures / taken:.0f} pictures a "
        f"second, comparing {compared:.1f} s, peak {_peak_megabytes():.0f} MiB ({before:.0f} "
        f"before); {found.value:.3f}, kernel {found.kernel.value:.5f}"
    )


def precision(count: int = 20_000, dim: int = 256) -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(dim, dim)) / dim**0.5
    first = (rng.normal(size=(count, dim)) @ mixing + 5).astype(np.float32)
    second = (rng.normal(size=(count, dim)) @ mixing + 5.1).astype(np.float32)
    whole, parts = Moments.of(first, "f"), Moments.zero(dim, "f")
    for part in np.array_split(first, 77):
        parts += Moments.of(part, "f")
    apart = np.abs(parts.covariance - whole.covariance).max() / np.abs(whole.covariance).max()
    print(f"moments of {count} in 77 parts: covariance {apart:.1e} from the whole's, relative")
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    pair = [fid_features_to_statistics(torch.from_numpy(t).double()) for t in (first, second)]
    theirs = fid_statistics_to_metric(*pair, verbose=False)["frechet_inception_distance"]
    ours = frechet_distance(parts, Moments.of(second, "f"))
    print(f"distance {ours:.9g}, torch-fidelity {theirs:.9g}: {abs(ours / theirs - 1):.1e} apart")


def random_inception(device: str) -> NetworkFeatures:
    network = InceptionNetwork()
    dim, network.fc = network.fc.in_features, torch.nn.Identity()
    return NetworkFeatures(
        network,
        "random",
        dim=dim,
        compute=lambda pictures: network(like_tensorflow(pictures)),
        device=device,
    )


def inception(device: str) -> None:
    features = random_inception(device)
    count = 8 if device == "cpu" else 2048
    pictures = torch.zeros(count, 3, 64, 64, dtype=torch.uint8, device=device)
    features(pictures[:8])
    seconds = best_seconds(lambda: features(pictures), 1)
    print(f"Inception features on {device}: {count / seconds:.1f} pictures a second")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=50_000, help="of the larger distance")
    parser.add_argument("--generator", default="analytic.ellipses32", help="catalogue name")
    parser.add_argument("--device", default="cpu", help="of the Inception network")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, one thread")
    metrics()
    precision()
    inception(options.device)
    own = multiprocessing.get_context("spawn")
    for pictures in (min(KEPT, options.pictures), options.pictures):
        process = own.Process(target=distance, args=(pictures, options.generator))
        process.start()
        process.join()


if __name__ == "__main__":
    main()

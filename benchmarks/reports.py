"""Reports and results of many trials: ``python benchmarks/reports.py``.

Makes rows of trials that never ran (numbers are random), writes them as a sweep does, and prints:
seconds to open 100,000 rows in pandas, seconds to build the report of 1,000 trials, its size. Both
are told twice: by the clock, and of this process alone, which other work on the machine lengthens
less.
"""

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np

import gseg
from gseg.generators.catalogue import list_generators
from gseg.pipeline.rows import make_row, merge_rows
from gseg.reports.report import write_report

_BENCHMARKS = ("cub", "flowers", "dut_omron", "duts", "ecssd")


def made_up_rows(trials: int, *, benchmarks=_BENCHMARKS, profiles=("melas2022_program",)):
    """Make rows of a grid of generators, λ, ε, data sizes and seeds."""
    cards = [card for card in list_generators("published") if card.published_fid is not None]
    axes = itertools.product(range(1_000_000), (100, 10_000, 1_000_000), (1.25, 5.0), (1.0, 2.0))
    rng = np.random.default_rng(0)
    rows = []
    settings = ((axis, card) for axis in axes for card in cards)
    for number, ((seed, size, weight, epsilon), card) in enumerate(settings):
        if number == trials:
            return rows
        quality = 0.9 - card.published_fid / 400 + np.log10(size) / 60
        for benchmark, profile in itertools.product(benchmarks, profiles):
            score = quality + rng.normal(0, 0.02)
            rows.append(
                make_row(
                    {
                        "experiment": f"{number:020x}",
                        "method": "gan",
                        "generator": card.name,
                        "family": card.family,
                        "dataset": card.dataset,
                        "resolution": card.resolution,
                        "objective": "melas2022_text",
                        "contrast_weight": weight,
                        "centre_prior": True,
                        "epsilon_search": epsilon,
                        "epsilon_sample": epsilon,
                        "mask_kind": "lighter",
                        "filters": "gseg",
                        "latent_source": "prior",
                        "data_size": size,
                        "train_steps": 12_000,
                        "train_preset": "paper",
                        "direction_seed": seed,
                        "sample_seed": seed,
                        "train_seed": seed,
                        "supervision": card.supervision,
                        "benchmark": benchmark,
                        "eval_protocol": "text",
                        "metric_profile": profile,
                        "accuracy": score,
                        "iou": score - 0.3,
                        "f_beta": score - 0.25,
                        "max_f_beta": score - 0.2,
                        "images": 1_000,
                        "cosine": -0.4 - rng.uniform(0, 0.3),
                        "published_fid": card.published_fid,
                        "published_fid_protocol": card.fid_protocol,
                        "candidates": 2 * size,
                        "accepted": size,
                        "rejected_area": size,
                        "direction_seconds": 60.0,
                        "samples_seconds": size / 1_000,
                        "training_seconds": 3_600.0,
                        "scoring_seconds": 60.0,
                        "device": "cuda",
                        "peak_memory_mib": 2_000.0,
                        "scores": f"{len(rows):020x}",
                    }
                )
            )
    return rows


def timed(call):
    """Call a function; give what it returns, and seconds by the clock and of this process."""
    started, used = time.monotonic(), time.process_time()
    found = call()
    return found, (time.monotonic() - started, time.process_time() - used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--trials", type=int, default=1_000)
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        many, few = Path(name) / "many", Path(name) / "few"
        merge_rows(many, made_up_rows(options.rows, benchmarks=("cub",)))
        table, opened = timed(lambda: gseg.results(many))
        merge_rows(few, made_up_rows(options.trials))
        page, built = timed(lambda: write_report(few, Path(name) / "report"))
        size = page.stat().st_size / 2**20
    for what, (seconds, own), target in (
        (f"{len(table):,} rows opened in pandas", opened, 2),
        (f"report of {options.trials:,} trials, {size:.1f} MiB", built, 60),
    ):
        print(f"{what:44} {seconds:7.2f} s, {own:.2f} s of the process   (target {target})")


if __name__ == "__main__":
    main()

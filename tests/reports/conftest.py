import pandas as pd
import pytest

from gseg.pipeline.rows import make_row, merge_rows, results
from gseg.reports import settings

_COMMON = {
    "method": "gan",
    "family": "SNGAN",
    "dataset": "scenes",
    "objective": "gseg",
    "contrast_weight": 5.0,
    "centre_prior": True,
    "epsilon_search": 1.0,
    "epsilon_sample": 1.0,
    "mask_kind": "lighter",
    "latent_source": "prior",
    "data_size": 1_000,
    "train_steps": 100,
    "train_preset": "embedded",
    "direction_seed": 0,
    "sample_seed": 0,
    "train_seed": 0,
    "supervision": "none",
    "benchmark": "scenes",
    "eval_protocol": "text",
    "metric_profile": "melas2022_program",
    "accuracy": 0.9,
    "iou": 0.6,
    "f_beta": 0.7,
    "max_f_beta": 0.8,
    "images": 100,
}


@pytest.fixture
def frame(tmp_path):
    """Make result rows as `gseg.results` gives them; each has a name and scores of its own."""

    def make(*lines) -> pd.DataFrame:
        rows = [
            make_row({**_COMMON, "experiment": f"e{n}", "scores": f"s{n}", **line})
            for n, line in enumerate(lines)
        ]
        folder = tmp_path / f"rows{len(list(tmp_path.iterdir()))}"
        merge_rows(folder, rows)
        return results(folder)

    return make


def seeds(number):
    return dict.fromkeys(settings.SEEDS, number)


@pytest.fixture(name="seeds")
def _seeds():
    """Set all seeds of a row."""
    return seeds

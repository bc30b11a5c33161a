import re
from pathlib import Path

import pandas as pd
import pytest
from shared_folder import SHARED

from gseg.generators.catalogue import list_generators
from gseg.recipes.published.cells import (
    published_columns,
    published_tables,
    unreadable_cells,
    write_published,
)

ROOT = Path(__file__).parents[3]
KEY = ["paper", "table", "row", "benchmark", "metric", "statistic"]
CSV_FOLDER = ROOT / "gseg" / "recipes" / "published" / "tables"


@pytest.fixture(scope="module")
def cells():
    return published_tables()


def _sums(cells, paper, table, metric):
    chosen = cells[
        (cells.paper == paper)
        & (cells.table == table)
        & (cells.metric == metric)
        & (cells.statistic == "mean")
    ]
    sums = chosen.groupby("benchmark", sort=False).value.sum()
    return sums.round(3).to_dict()


def test_columns_are_those_that_are_described(cells):
    assert list(cells.columns) == list(published_columns())
    assert all(text.endswith(".") for _, text in published_columns().values())


def test_no_number_is_there_twice(cells):
    assert not cells.duplicated(KEY).any()
    assert cells.value.notna().all()


# Added up from the printed papers, column by column.
@pytest.mark.parametrize(
    ("paper", "table", "metric", "sums"),
    [
        (
            "melas2022",
            "2",
            "accuracy",
            {"cub": 10.04, "flowers": 8.115, "dut_omron": 9.725, "duts": 9.777, "ecssd": 9.508},
        ),
        (
            "melas2022",
            "2",
            "iou",
            {"cub": 4.138, "flowers": 3.151, "dut_omron": 2.879, "duts": 3.088, "ecssd": 4.216},
        ),
        (
            "melas2022",
            "7",
            "iou",
            {"cub": 2.092, "flowers": 1.961, "dut_omron": 1.56, "duts": 1.629, "ecssd": 2.293},
        ),
        (
            "melas2022",
            "14",
            "accuracy",
            {"cub": 6.105, "flowers": 5.203, "duts": 5.892, "dut_omron": 5.805, "ecssd": 5.954},
        ),
        (
            "voynov2021",
            "4",
            "iou",
            {"ecssd": 3.307, "duts": 2.45, "dut_omron": 2.159},
        ),
        ("voynov2021", "1", "max_f_beta", {"cub": 2.378, "flowers": 2.452}),
    ],
)
def test_sums_of_columns(cells, paper, table, metric, sums):
    assert _sums(cells, paper, table, metric) == pytest.approx(sums)


def test_no_iou_exceeds_its_accuracy(cells):
    """A picture's IoU is 1 - errors / union, its accuracy 1 - errors / pixels."""
    scores = cells[(cells.unit == "fraction") & (cells.statistic == "mean")]
    wide = scores.pivot(index=[*KEY[:4]], columns="metric", values="value")
    assert (
        (wide.iou <= wide.accuracy).where(wide[["iou", "accuracy"]].notna().all(axis=1), True).all()
    )


def test_what_two_tables_print_alike_agrees(cells):
    """Table 2's BigBiGAN, Table 6's v_l and Table 8's ε = 2 are one run; so are Tables 1 and 6."""

    def row(table, name, metrics=("accuracy", "iou")):
        chosen = cells[(cells.paper == "melas2022") & (cells.table == table) & (cells.row == name)]
        chosen = chosen[chosen.metric.isin(metrics)]
        return chosen.set_index(["benchmark", "metric"]).value.sort_index()

    lighter = row("2", "BigBiGAN IN 128px")
    pd.testing.assert_series_equal(row("6", "v_l only"), lighter)
    pd.testing.assert_series_equal(row("8", "ε = 2"), lighter)
    both = row("6", "v_l and v_d")
    pd.testing.assert_series_equal(row("1", "Ours (BigBiGAN - ImageNet)"), both)


def test_contradicting_cells_are_suspect_and_say_why(cells):
    suspect = cells[cells.suspect]
    places = set(zip(suspect.table, suspect.row, suspect.benchmark, suspect.metric, strict=True))
    for place in (
        ("8", "ε = 1", "flowers", "iou"),
        ("13", "All generated images only", "cub", "iou"),
        ("3", "Ours (BigBiGAN)", "voc2012", "miou"),
        ("4", "BigBiGAN ImageNet 128px", "voc2012", "miou"),
    ):
        assert place in places
    assert ("8", "ε = 2", "flowers", "iou") not in places
    assert suspect.note.str.len().min() > 20
    assert len(suspect) < 40


def test_origins_and_settings_are_told(cells):
    assert set(cells.origin) == {"own", "quoted", "reimplemented"}
    voynov = cells[(cells.table == "1") & cells.row.str.startswith("Voynov et al. 2021")]
    assert set(voynov.origin) == {"quoted", "reimplemented"}
    weights = cells[(cells.paper == "melas2022") & (cells.table == "7")]
    assert sorted(weights.contrast_weight.unique()) == [1.25, 2.5, 5.0, 10.0]
    sizes = cells[(cells.paper == "melas2022") & (cells.table == "14")]
    assert sizes.data_size.nunique() == 7
    assert set(sizes.train_steps) == {20_000}


def test_generators_are_those_of_the_catalogue(cells):
    known = {card.name for card in list_generators("published")}
    assert set(cells.generator.dropna()) <= known
    assert cells[cells.table == "2"].generator.nunique() == 12


def test_unreadable_numbers_are_listed_and_left_out(cells):
    lost = unreadable_cells()
    assert set(lost.row.str[:3]) == {"RBD", "DSR", "SBF", "USD"}
    assert not len(cells.merge(lost, on=["paper", "table", "row", "benchmark", "metric"]))


def test_the_parquet_file_is_what_the_tables_say(tmp_path, cells):
    path = write_published(tmp_path / "new")
    pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(_kept()))
    found = pd.read_parquet(path)
    assert len(found) == len(cells)
    assert found.value.tolist() == cells.value.tolist()


def _kept():
    return ROOT / "results" / "published" / "tables.parquet"


def test_the_readme_names_every_column():
    """After a change: put what the lines below expect into the file."""
    text = (ROOT / "results" / "published" / "README.md").read_text()
    for name, (_, meaning) in published_columns().items():
        assert f"| `{name}` | {meaning} |" in text


# Where each table stands in the papers' text: first and last line, by how they start.
PLACES = {
    "melas2022_2": ("Table 2:", "4.2\t"),
    "melas2022_4": ("GAN\tDataset", "Table 4:"),
    "melas2022_6": ("Table 4:", "Table 6:"),
    "melas2022_7": ("λ=\t10", "Table 7:"),
    "melas2022_8": ("=\t1\t", "Table 8:"),
    "melas2022_9": ("GAN\tvsT", "Table 9:"),
    "melas2022_10": ("\tCUB\tFlowers\tDUT-O.", "Table 10:"),
    "melas2022_11": ("\tData\tAcc", "Table 11:"),
    "melas2022_12": ("\tAcc\tIoU", "Table 12:"),
    "melas2022_13": ("\tReal Images", "Table 13:"),
    "melas2022_14": ("Num. Images\tCUB", "Table 14:"),
    "melas2022_15": ("Resolution\tAcc", "Table 15:"),
    "voynov2021_1": ("Method\tCUB", "Table 1."),
    "voynov2021_2": ("Method\tECSSD", "Table 2."),
    "voynov2021_3": ("Method\tECSSD", "Table 3."),
    "voynov2021_4": ("Table 3.", "Table 4."),
    "voynov2021_5": ("Method\tECSSD", "Table 5."),
}
_NUMBER = re.compile(r"(?<![\d.])-?\d*\.\d{2,}")
_SETTINGS = {"melas2022_7": ["2.5", "1.25"]}
"""Settings that stand among the scores."""


@pytest.mark.parametrize("table", PLACES)
def test_numbers_are_those_of_the_paper_s_text(table):
    """Every number with two decimals or more is in the text, in this order, and no other is."""
    paper = "melas-kyriazi-2022.txt" if table.startswith("melas") else "voynov-2021.txt"
    path = SHARED / "papers" / paper
    if not path.exists():
        pytest.skip("the papers' text is not here")
    lines = path.read_text().splitlines()
    first, last = PLACES[table]
    end = next(number for number, line in enumerate(lines) if line.startswith(last))
    start = max(number for number in range(end) if lines[number].startswith(first))
    printed = _NUMBER.findall("\n".join(lines[start:end]))
    settings = _SETTINGS.get(table, [])
    kept = (CSV_FOLDER / f"{table}.csv").read_text()
    scores = _NUMBER.findall("\n".join(_score_cells(kept)))
    assert scores == [number for number in printed if number not in settings]


def _score_cells(text):
    head, *lines = (line.split(",") for line in text.splitlines())
    chosen = [number for number, name in enumerate(head) if "/" in name]
    return [line[number] for line in lines for number in chosen]

import io

import pytest
from PIL import Image
from rich.console import Console

from gseg.reports.search import draw_search, search_table
from gseg.search.objectives import OBJECTIVES
from gseg.search.records import Record
from gseg.search.space import Space, parse_space

_SPACE = Space(parameters=parse_space(["contrast_weight=log:1:20", "mask_kind=lighter,both"]))
_LOSS, _STABLE = OBJECTIVES["held_out_loss"], OBJECTIVES["stability"]


def _records():
    common = {"state": "complete", "seconds": 3.0}
    found = [
        Record(
            number=number,
            parameters={
                "contrast_weight": 1.5 + number,
                "mask_kind": ("lighter", "both")[number % 2],
            },
            experiments=(str(number),),
            values={"held_out_loss": 0.5 - 0.01 * number, "stability": 0.9 - 0.02 * number},
            **common,
        )
        for number in range(14)
    ]
    pruned = Record(
        number=14,
        parameters={"contrast_weight": 2.0, "mask_kind": "both"},
        experiments=("14",),
        state="pruned",
        percent=50,
        loss=0.9,
    )
    return [*found, pruned]


def _text(table):
    console = Console(file=io.StringIO(), width=160)
    console.print(table)
    return console.file.getvalue()


def test_the_ten_best_points_come_first():
    lines = _text(search_table(_records(), _SPACE, [_LOSS], "t")).splitlines()
    points = [line.split("│")[1].strip() for line in lines if "#" in line]
    assert points == [f"#{number}" for number in range(13, 3, -1)]
    assert "held out loss (min)" in _text(search_table(_records(), _SPACE, [_LOSS], "t"))
    first = next(line for line in lines if "#13" in line)
    assert [cell.strip() for cell in first.split("│")[1:-1]] == [
        "#13",
        "14.5",
        "both",
        "0.3700",
        "3",
    ]


def test_all_points_of_the_front_are_shown():
    text = _text(search_table(_records(), _SPACE, [_LOSS, _STABLE], "t"))
    assert text.count("#") == 14
    assert "#14" not in text


@pytest.mark.parametrize("objectives", [[_LOSS], [_LOSS, _STABLE]])
def test_the_picture_has_a_panel_for_each_setting_and_one_for_the_front(tmp_path, objectives):
    path = tmp_path / "search.png"
    assert draw_search(path, _records(), _SPACE, objectives, title="t")
    with Image.open(path) as picture:
        columns, rows = (2, 1) if len(objectives) == 1 else (3, 2)
        assert picture.size == (round(3.4 * columns * 150), round((2.9 * rows + 0.3) * 150))
        assert len(picture.convert("RGB").getcolors(2**24)) > 20


def test_nothing_is_drawn_of_nothing(tmp_path):
    assert not draw_search(tmp_path / "x.png", _records()[-1:], _SPACE, [_LOSS], title="t")
    assert not (tmp_path / "x.png").exists()

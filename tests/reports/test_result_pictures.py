import io

import numpy as np
import pytest
from PIL import Image

from gseg.reports.pictures import left_figures, left_pictures, make_sheet
from gseg.reports.report import write_report


def _picture(size=(64, 32)):
    noise = np.random.default_rng(0).integers(0, 256, (size[1] // 8, size[0] // 8, 3), np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def test_a_sheet_is_the_picture_and_small():
    picture = _picture((256, 128))
    sheet = make_sheet(picture, caption="a", of="b")
    with Image.open(io.BytesIO(sheet.webp)) as read:
        difference = np.abs(np.asarray(read, float) - np.asarray(picture, float))
    assert (sheet.width, sheet.height) == (256, 128)
    assert difference.mean() < 6
    png = io.BytesIO()
    picture.save(png, format="PNG")
    assert len(sheet.webp) < png.tell() / 3


def test_a_sweep_s_own_sheets_are_shown_without_its_storage(tmp_path, frame):
    frame({"generator": "a.x"})
    (rows,) = tmp_path.glob("rows*")
    assert "No pictures" in write_report(rows, tmp_path / "without").read_text()
    figures = tmp_path / f"{rows.name}_figures"
    figures.mkdir()
    for name in ("b.x", "a.x", "worst", "distance", "distance-2"):
        _picture().save(figures / f"{name}.png")
    section = left_pictures(figures, ["path/b.x", "a.x", "c.x"])
    assert [part.caption for part in section.parts] == ["a.x", "b.x"]
    others = left_figures(figures, ["path/b.x", "a.x"])
    assert [part.caption for part in others.parts] == ["worst"]
    page = write_report(rows, tmp_path / "with").read_text()
    assert page.count("data:image/webp") == 3
    assert "No pictures" not in page


def test_a_damaged_sheet_is_named(tmp_path):
    (tmp_path / "a.x.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"a\.x\.png"):
        left_figures(tmp_path)


def test_nothing_left_is_no_section(tmp_path):
    assert left_pictures(tmp_path / "missing", ["a.x"]) is None
    assert left_figures(tmp_path / "missing") is None

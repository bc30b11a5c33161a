import base64
import io
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from PIL import Image

from gseg.reports.content import (
    Chart,
    Report,
    ReportTable,
    Section,
    Sheet,
    to_html,
    to_markdown,
    write_files,
)

_VOID = {"meta", "link", "img", "br"}


class Checked(HTMLParser):
    """Reads a page; every element that is opened has to be closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.links, self.marked = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        attributes = dict(attrs)
        self.links += [attributes[name] for name in ("src", "href") if name in attributes]
        if tag not in _VOID:
            self.open.append(tag)
        if "best" in (attributes.get("class") or "").split():
            self.marked.append(None)

    def handle_data(self, data):
        if self.marked and self.marked[-1] is None:
            self.marked[-1] = data

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def _read(page):
    checked = Checked()
    checked.feed(page)
    checked.close()
    assert not checked.open
    return checked


@pytest.fixture
def report():
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), "red").save(buffer, format="WEBP")
    frame = pd.DataFrame(
        {"name": ["<a|b>", "c", "otsu"], "iou": [0.5, 0.75, 0.9], "gan": [True, True, False]}
    )
    table = ReportTable(
        name="scores",
        title="Scores & more",
        frame=frame,
        best={"iou": "highest"},
        competing="gan",
        note="a note",
    )
    charts = [
        Chart(svg='<svg viewBox="0 0 1 1"></svg>', caption=caption, fold=fold)
        for caption, fold in (("first", ""), ("hidden", "Each benchmark"))
    ]
    sheet = Sheet(webp=buffer.getvalue(), width=3, height=2, caption="red")
    sections = (
        Section(anchor="one", title="One", text=("text <i>",), parts=(table, *charts)),
        Section(anchor="two", title="Two", parts=(sheet,)),
    )
    return Report(title="A report", sections=sections)


def test_a_page_is_whole_and_needs_nothing_else(report):
    page = _read(to_html(report))
    assert {"html", "body", "table", "svg", "img", "figure"} <= set(page.seen)
    assert "script" not in page.seen
    outside = [link for link in page.links if not link.startswith(("#", "data:"))]
    assert outside == []
    assert "url(" not in to_html(report)
    assert "@import" not in to_html(report)


def test_links_lead_to_sections(report):
    page = to_html(report)
    for anchor in re.findall(r'href="#(\w+)"', page):
        assert f'id="{anchor}"' in page


def test_pictures_are_inside(report):
    (content,) = re.findall(r'src="data:image/webp;base64,([^"]+)"', to_html(report))
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert image.size == (3, 2)


def test_text_is_escaped(report):
    page = to_html(report)
    assert "&lt;a|b&gt;" in page
    assert "<i>" not in page


def test_the_best_of_those_that_compete_is_marked(report):
    assert _read(to_html(report)).marked == ["0.750"]
    assert "| c | **0.750** |" in to_markdown(report)
    assert "| \\<a\\|b> | 0.500 |" in to_markdown(report)


def test_folded_charts_are_there_on_request(report):
    page = to_html(report)
    assert page.index("first") < page.index("<summary>Each benchmark</summary>")
    assert page.index("<summary>Each benchmark</summary>") < page.index("hidden")


def test_it_follows_light_dark_phone_and_print(report):
    page = to_html(report)
    for needed in ("prefers-color-scheme:dark", "@media print", 'name="viewport"'):
        assert needed in page


def test_files_have_every_line_and_digit(tmp_path, report):
    page = write_files(report, tmp_path / "new")
    assert page == tmp_path / "new" / "report.html"
    table = pd.read_csv(tmp_path / "new" / "tables" / "scores.csv")
    assert table.iou.tolist() == [0.5, 0.75, 0.9]
    assert list(table.columns) == ["name", "iou"]
    (tmp_path / "new" / "tables" / "old.csv").touch()
    write_files(report, tmp_path / "new")
    assert [path.name for path in (tmp_path / "new" / "tables").iterdir()] == ["scores.csv"]


def test_long_tables_are_cut_in_the_page_and_say_so():
    frame = pd.DataFrame({"n": range(100)})
    table = ReportTable(name="long", title="Long", frame=frame, most=60)
    report = Report(title="", sections=(Section(anchor="a", title="A", parts=(table,)),))
    page = to_html(report)
    assert page.count("<tr>") == 61
    assert "40 more lines are in tables/long.csv" in page


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (float("nan"), ""),
        (pd.NA, ""),
        (0.12345, "0.123"),
        (5, "5"),
        (True, "yes"),
        (1_000_000, "1,000,000"),
        ("text", "text"),
    ],
)
def test_cells_are_written_as_people_read_them(value, shown):
    table = ReportTable(name="", title="", frame=pd.DataFrame())
    assert table.shown("x", value) == shown


def _one(table):
    return Report(title="", sections=(Section(anchor="a", title="A", parts=(table,)),))


def test_long_texts_become_numbers_that_are_told_below(tmp_path):
    frame = pd.DataFrame({"n": [1, 2, 3], "why": ["few <samples>; other loss", "", "other loss"]})
    table = ReportTable(name="t", title="", frame=frame, footnotes=("why", "not there"))
    assert [cells[1].text for cells in table.cells(9)] == ["1, 2", "", "2"]
    page = to_html(_one(table))
    assert '<ol class="note"><li>few &lt;samples&gt;</li><li>other loss</li></ol>' in page
    _read(page)
    text = to_markdown(_one(table))
    assert "| 1 | 1, 2 |" in text
    assert "2. other loss" in text
    write_files(_one(table), tmp_path)
    assert "few <samples>; other loss" in (tmp_path / "tables" / "t.csv").read_text()


def test_cells_lead_elsewhere_and_are_named_for_people():
    frame = pd.DataFrame({"score": ["iou"], "address": ['a"b/report.html']})
    table = ReportTable(name="t", title="", frame=frame, words={"iou": "IoU"}, link="address")
    assert _read(to_html(_one(table))).links[-1] == 'a"b/report.html'
    assert '<a href="a&#34;b/report.html">IoU</a>' in to_html(_one(table))
    assert '| [IoU](a"b/report.html) |' in to_markdown(_one(table), charts="")


def test_sheets_of_one_generator_share_a_heading():
    sheets = [Sheet(webp=b"", width=9, height=9, caption=str(n), of=n % 3 * "x") for n in (1, 1, 2)]
    report = Report(title="", sections=(Section(anchor="a", title="A", parts=tuple(sheets)),))
    assert re.findall("<h3>(.*?)</h3>", to_html(report)) == ["x", "xx"]

"""What commands have written and read again: shards, rows, manifests, trainings, searches."""

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
from damages import FINITE, REFUSED, SAFE, SAME
from odd_arrays import SAFETENSORS
from odd_base import (
    Kind,
    Special,
    finished,
    gseg_run,
    pixels_of,
    quietly,
    rows_of,
    said_in,
    shelf,
    specials_of,
    sweep,
    tables_of,
    text_special,
)

import gseg.pipeline.stages.segmenter
from gseg.pipeline.rows import COLUMNS
from gseg.search.records import Record, keep_records

_OUT: Final = "result"


def _table(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    return lambda path: pq.write_table(change(pq.read_table(path)), path)


def _without(*names: str) -> Callable[[Path], None]:
    return _table(lambda table: table.drop_columns(list(names)))


def _other_table(path: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2], "b": ["x", "y"]}), path)


_TABLES: Final = specials_of(
    another_table=(_other_table, SAFE),
    no_rows=(_table(lambda table: table[:0]), SAFE),
    rows_twice=(_table(lambda table: pa.concat_tables([table, table])), SAFE),
    one_column_less=(_table(lambda table: table.drop_columns(table.column_names[:1])), SAFE),
    columns_in_another_order=(
        _table(lambda table: table.select(table.column_names[::-1])),
        SAFE,
    ),
    csv=text_special("a,b\n1,2\n", SAFE),
    feather=(
        lambda path: pa.feather.write_feather(pa.table({"a": [1]}), path),
        SAFE,
    ),
)
_JSON: Final = specials_of(
    a_list=text_special("[1, 2]", SAFE),
    a_number=text_special("5", SAFE),
    null=text_special("null", SAFE),
    nothing_in_it=text_special("{}", SAFE),
    other_words=text_special('{"hello": "there"}', SAFE),
    nan=text_special('{"seconds": NaN, "forwards": NaN}', SAFE),
    words_for_numbers=text_special('{"seconds": "many", "forwards": []}', SAFE),
    byte_order_mark=(
        lambda path: path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes()) and None,
        SAFE,
    ),
    utf_16=(lambda path: path.write_text(path.read_text(), "utf-16") and None, SAFE),
)


def _in_storage(pattern: str, *behind: str) -> Callable[[Path], Path]:
    """Copy a finished storage; what is made of the file is not there yet."""

    def make(home: Path) -> Path:
        shutil.copytree(finished(), home / "storage")
        for folder in behind:
            shutil.rmtree(home / "storage" / folder)
        return sorted((home / "storage").glob(pattern))[0]

    return make


def _again(home: Path, _: Path) -> int:
    return sweep(home, "--benchmark", "scenes:4")


def _stored(name: str, pattern: str, behind: tuple[str, ...], specials: dict[str, Special]) -> Kind:
    return Kind(
        name=f"storage: {name}",
        make=_in_storage(pattern, *behind),
        run=_again,
        result=rows_of,
        hard=SAFE,
        soft=SAFE,
        free=False,
        specials=specials,
    )


_SAFE_TENSORS: Final = {name: (change, SAFE) for name, (change, _) in SAFETENSORS.items()}


def _manifest(name: str, value: object) -> Special:
    def change(path: Path) -> None:
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, name: value}))

    return change, SAFE


_MANIFESTS: Final = {
    **_JSON,
    **specials_of(
        no_facts=_manifest("facts", None),
        facts_are_a_list=_manifest("facts", []),
        another_stage=_manifest("stage", "samples"),
        another_version=_manifest("version", 99),
        seconds_are_a_word=_manifest("seconds", "long"),
        seconds_are_nan=_manifest("seconds", float("nan")),
        no_files=_manifest("files", {}),
        a_file_outside=_manifest("files", {"../../x": {"bytes": 1, "sha256": "0"}}),
    ),
}


def _swapped(path: Path) -> None:
    """The file of another artifact of the same stage has its place."""
    others = [
        each
        for each in sorted(path.parents[1].glob(f"*/{path.name}"))
        if each != path and each.read_bytes() != path.read_bytes()
    ]
    shutil.copy(others[0], path)


_SWAP: Final = {"another artifact's": (_swapped, SAFE)}
_STORED: Final = [
    _stored("manifest of a direction", "direction/*/manifest.json", ("scores",), _MANIFESTS),
    _stored(
        "direction.safetensors",
        "direction/*/direction.safetensors",
        ("samples", "segmenter", "scores"),
        _SAFE_TENSORS,
    ),
    _stored(
        "shard, in a sweep",
        "samples/*/shard-000000.parquet",
        ("segmenter", "scores"),
        {**_TABLES, **_SWAP},
    ),
    _stored("_about.json of samples", "samples/*/_about.json", ("segmenter", "scores"), _JSON),
    _stored("cost of a shard", "samples/*/*.cost", ("segmenter", "scores"), _JSON),
    _stored("manifest of a segmenter", "segmenter/*/manifest.json", ("scores",), _MANIFESTS),
    _stored(
        "segmenter.safetensors", "segmenter/*/segmenter.safetensors", ("scores",), _SAFE_TENSORS
    ),
    _stored("losses of a segmenter", "segmenter/*/losses.parquet", ("scores",), _TABLES),
    _stored("manifest of scores", "scores/*/manifest.json", (), {**_MANIFESTS, **_SWAP}),
    _stored("images.parquet of scores", "scores/*/images.parquet", (), _TABLES),
    _stored("curves.parquet of scores", "scores/*/curves.parquet", (), _TABLES),
]

# ---------------------------------------------------------------- shards by themselves


def _shard(home: Path) -> Path:
    home.mkdir()
    (file, *_) = sorted(finished().glob("samples/*/shard-000000.parquet"))
    return Path(shutil.copy(file, home / "shard-000000.parquet"))


def _header(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Change a shard's description, its checksum too."""
    import zlib

    def apply(table: pa.Table) -> pa.Table:
        metadata = dict(table.schema.metadata)
        new = json.dumps(change(json.loads(metadata[b"gseg.samples"]))).encode()
        metadata |= {b"gseg.samples": new, b"gseg.samples.crc32": f"{zlib.crc32(new):08x}".encode()}
        return table.replace_schema_metadata(metadata)

    return _table(apply)


def _entry(name: str, value: object) -> Callable[[Path], None]:
    return _header(lambda header: {**header, name: value})


_SHARDS: Final = specials_of(
    another_version=(_entry("version", 3), REFUSED),
    fewer_rows_than_said=(_entry("rows", 99), REFUSED),
    another_side=(_entry("resolution", 8), REFUSED),
    a_side_that_is_huge=(_entry("resolution", 10**6), REFUSED),
    a_side_below_zero=(_entry("resolution", -16), REFUSED),
    a_side_of_a_word=(_entry("resolution", "16"), REFUSED),
    jpeg_is_said=(_entry("picture_format", "jpeg95"), REFUSED),
    another_format=(_entry("picture_format", "png"), REFUSED),
    no_provenance=(_entry("provenance", {}), FINITE),
    provenance_is_a_list=(_entry("provenance", [1]), FINITE),
    seed_is_a_word=(_entry("provenance", {"config": {"seed": "x"}}), FINITE),
    description_is_a_list=(_header(lambda header: [1]), REFUSED),
    description_is_empty=(_header(lambda header: {}), REFUSED),
    no_description=(_table(lambda table: table.replace_schema_metadata({})), REFUSED),
    checksum_does_not_fit=(
        _table(
            lambda table: table.replace_schema_metadata(
                {**table.schema.metadata, b"gseg.samples.crc32": b"00000000"}
            )
        ),
        REFUSED,
    ),
)


def _odd_shards() -> dict[str, Special]:
    return {**{name: (change, REFUSED) for name, (change, _) in _TABLES.items()}, **_SHARDS}


def _exported(home: Path, path: Path) -> int:
    return gseg_run("samples", "export", path, "--out", home / _OUT)


def _shown(home: Path, path: Path) -> int:
    return gseg_run("samples", "show", path, "--out", home / _OUT / "sheet.png")


# ---------------------------------------------------------------- rows, curves, searches


@functools.cache
def _results() -> Path:
    folder = shelf() / "rows"
    quietly(lambda: sweep(folder, "--benchmark", "scenes:4"))
    return folder / _OUT / "odd"


def _rows(place: str) -> Callable[[Path], Path]:
    def make(home: Path) -> Path:
        (home / place).mkdir(parents=True)
        return Path(shutil.copy(_results() / "rows.parquet", home / place / "rows.parquet"))

    return make


def _report(home: Path, _: Path) -> int:
    return gseg_run("report", home / "found", "--out", home / _OUT)


def _values(name: str, value: object) -> Callable[[Path], None]:
    """Give all rows of a column this value; None keeps the type."""

    def change(table: pa.Table) -> pa.Table:
        place, count = table.column_names.index(name), len(table)
        kind = table.schema.field(name).type if value is None else None
        return table.set_column(place, name, pa.array([value] * count, kind))

    return _table(change)


_ROWS: Final = specials_of(
    another_table=(_other_table, FINITE),
    no_rows=(_table(lambda table: table[:0]), REFUSED),
    one_row=(_table(lambda table: table[:1]), FINITE),
    rows_twice=(_table(lambda table: pa.concat_tables([table, table])), FINITE),
    no_iou=(_without("iou"), FINITE),
    no_benchmark=(_without("benchmark"), REFUSED),
    no_experiment=(_without("experiment"), FINITE),
    no_profile=(_without("metric_profile"), FINITE),
    no_generator=(_without("generator"), FINITE),
    no_finish=(_without("finished"), FINITE),
    half_of_the_columns=(_table(lambda table: table.select(list(COLUMNS)[::2])), FINITE),
    columns_of_a_later_version=(
        _table(lambda table: table.append_column("later", pa.array([1] * len(table)))),
        SAME,
    ),
    iou_is_nan=(_values("iou", float("nan")), FINITE),
    iou_is_unknown=(_values("iou", None), FINITE),
    iou_is_infinite=(_values("iou", float("inf")), FINITE),
    iou_is_a_word=(_values("iou", "high"), REFUSED),
    iou_is_a_list=(_values("iou", [1.0]), REFUSED),
    iou_of_7=(_values("iou", 7.0), FINITE),
    data_size_is_a_word=(_values("data_size", "many"), REFUSED),
    data_size_is_a_fraction=(_values("data_size", 1.5), REFUSED),
    finished_is_no_time=(_values("finished", "yesterday"), REFUSED),
    finished_is_unknown=(_values("finished", None), FINITE),
    generator_with_markup=(_values("generator", "<script>alert(1)</script>|`x`\n#"), FINITE),
    generator_with_slashes=(_values("generator", "../../../tmp/x"), FINITE),
    benchmark_with_markup=(_values("benchmark", "folder:<b>|a\nb"), FINITE),
    generator_is_unknown=(_values("generator", None), FINITE),
    csv=text_special("experiment,iou\na,0.5\n", REFUSED),
)


@functools.cache
def _trained() -> Path:
    """A storage in which a training has a checkpoint and no end."""
    folder = shelf() / "unfinished"
    kept = gseg.pipeline.stages.segmenter.discard
    gseg.pipeline.stages.segmenter.discard = lambda *_: None
    try:
        shutil.copytree(finished(), folder / "storage")
        for name in ("segmenter", "scores"):
            shutil.rmtree(folder / "storage" / name)
        quietly(lambda: sweep(folder, "--benchmark", "scenes:4"))
    finally:
        gseg.pipeline.stages.segmenter.discard = kept
    (place,) = (folder / "storage" / "segmenter").iterdir()
    for name in ("manifest.json", "segmenter.safetensors", "losses.parquet"):
        (place / name).unlink()
    shutil.rmtree(folder / "storage" / "scores")
    return folder / "storage"


def _checkpoint(home: Path) -> Path:
    shutil.copytree(_trained(), home / "storage")
    (file,) = (home / "storage").glob("segmenter/*/checkpoint.safetensors")
    return file


def _curve(home: Path) -> Path:
    home.mkdir()
    (file, *_) = sorted(finished().glob("segmenter/*/losses.parquet"))
    return Path(shutil.copy(file, home / "losses.parquet"))


def _curves(home: Path, path: Path) -> int:
    return gseg_run("curves", path, "--out", home / _OUT / "curves.png")


_POINTS: Final = ("--space", "search_steps=1,2", "min_share=0.01,0.02")
_SEARCH: Final = (
    *("--preset", "smoke", "--generators", "analytic.ellipses16", "--benchmark", "scenes:4"),
    *("--data-size", "12", "--plain", "--cpus", "1", "--dry-run", "--points", "4"),
)


def _searched(home: Path) -> Path:
    records = [
        Record(
            number=number,
            parameters={"search_steps": 1 + number % 2, "min_share": 0.01},
            experiments=(f"e{number}",),
            state="complete",
            values={"combined": 0.1 * number},
        )
        for number in range(3)
    ]
    keep_records(home / _OUT / "search_trials", records)
    (file,) = (home / _OUT / "search_trials").glob("*.parquet")
    return file


def _search(home: Path, _: Path) -> int:
    places = ("--storage", home / "storage", "--results", home / _OUT)
    return gseg_run("search", *_SEARCH, *_POINTS, *places)


_FOUND: Final = specials_of(
    no_rows=(_table(lambda table: table[:0]), FINITE),
    another_table=(_other_table, REFUSED),
    no_state=(_without("state"), REFUSED),
    an_unknown_state=(_values("state", "resting"), REFUSED),
    no_experiments=(_without("experiments"), REFUSED),
    experiments_unknown=(_values("experiments", None), REFUSED),
    experiments_are_numbers=(_values("experiments", 5), REFUSED),
    number_is_a_word=(_values("number", "first"), REFUSED),
    number_unknown=(_values("number", None), REFUSED),
    all_of_one_number=(_values("number", 1), FINITE),
    rows_twice=(_table(lambda table: pa.concat_tables([table, table])), FINITE),
    csv=text_special("number\n1\n", REFUSED),
)


_ALONE: Final = [
    Kind(
        name="shard: samples export",
        make=_shard,
        run=_exported,
        result=lambda home: pixels_of(home / _OUT),
        specials=_odd_shards(),
    ),
    Kind(
        name="shard: samples show",
        make=_shard,
        run=_shown,
        result=lambda home: pixels_of(home / _OUT),
        specials=_odd_shards(),
    ),
    Kind(
        name="rows.parquet: report",
        make=_rows("found"),
        run=_report,
        result=lambda home: tables_of(home / _OUT),
        free=False,
        specials=_ROWS,
    ),
    Kind(
        name="rows.parquet: of a sweep before",
        make=_rows("result/odd"),
        run=_again,
        result=rows_of,
        free=False,
        expected={"empty": SAFE, "missing": SAME},
        hard=SAFE,
        # The file is a copy of what is in the storage; scores that somebody writes into it stay.
        specials={
            name: (change, REFUSED if "word" in name or "list" in name else FINITE)
            for name, (change, _) in _ROWS.items()
            if name != "iou is infinite"
        },
    ),
    Kind(
        name="losses.parquet: curves",
        make=_curve,
        run=_curves,
        result=said_in,
        specials={
            **{name: (change, REFUSED) for name, (change, _) in _TABLES.items()},
            **specials_of(
                rows_twice=(_table(lambda table: pa.concat_tables([table, table])), FINITE),
                columns_in_another_order=(
                    _table(lambda table: table.select(table.column_names[::-1])),
                    FINITE,
                ),
                loss_is_nan=(_values("loss", float("nan")), FINITE),
                loss_is_infinite=(_values("loss", float("inf")), FINITE),
                loss_is_a_word=(_values("loss", "low"), REFUSED),
                loss_is_unknown=(_values("loss", None), FINITE),
                step_is_a_word=(_values("step", "first"), REFUSED),
                step_is_unknown=(_values("step", None), REFUSED),
            ),
        },
    ),
    Kind(
        name="checkpoint: sweep goes on",
        make=_checkpoint,
        run=_again,
        result=rows_of,
        hard=SAFE,
        free=False,
        specials=_SAFE_TENSORS,
    ),
    Kind(
        name="checkpoint: curves",
        make=_checkpoint,
        run=lambda home, path: _curves(home, path.parent),
        result=said_in,
        soft=FINITE,
        free=False,
        specials={
            name: SAFETENSORS[name]
            for name in (
                "header that is huge",
                "says a trillion",
                "a pickle",
                "header without tensors",
            )
        },
    ),
    Kind(
        name="points of a search",
        make=_searched,
        run=_search,
        result=said_in,
        free=False,
        specials=_FOUND,
        expected={"missing": FINITE},
    ),
]

KINDS: Final = [*_STORED, *_ALONE]

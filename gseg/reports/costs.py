"""What results cost, how many candidates were accepted, and where they come from."""

from typing import Final

import pandas as pd

from gseg.pipeline.settings import columns
from gseg.reports.content import ReportTable
from gseg.reports.settings import SEARCH, present

_DIRECTION: Final = ("generator", *SEARCH, "direction_seed")
_SAMPLES: Final = (
    *_DIRECTION,
    "mask_kind",
    *(name for name, each in columns().items() if each.path.startswith("samples.")),
)
_STAGES: Final = {
    "direction": _DIRECTION,
    "samples": _SAMPLES,
    "training": ("experiment",),
    "scoring": ("scores",),
    "fid": ("generator", "fid_protocol"),
}
"""Stage to the columns that tell its pieces of work apart."""
_NAMES: Final = {"fid": "Fréchet distance"}
_REASON: Final = "rejected_"
_PROVENANCE: Final = (
    "gseg_version",
    "commit",
    "torch_version",
    "ray_version",
    "python_version",
    "device",
    "recipe",
    "train_preset",
    "metric_profile",
    "eval_protocol",
    "fid_protocol",
    "published_fid_protocol",
    "supervision",
)


def cost_table(rows: pd.DataFrame) -> ReportTable | None:
    """Add up the time of every stage, each piece of work once.

    Args:
        rows: Result rows.

    Returns:
        A line for each stage, and their sum; None where no time is known.
    """
    lines = []
    for stage, keys in _STAGES.items():
        column = f"{stage}_seconds"
        if column not in rows:
            continue
        found = rows[rows[column].notna()]
        # A growing set of samples is one piece of work: its largest size took the most time.
        pieces = found.groupby(present(found, keys), dropna=False)[column].max()
        if not len(pieces):
            continue
        lines.append(
            {
                "stage": _NAMES.get(stage, stage),
                "pieces": len(pieces),
                "hours": float(pieces.sum()) / 3600,
                "median_seconds": float(pieces.median()),
                "longest_seconds": float(pieces.max()),
            }
        )
    if not lines:
        return None
    total = {
        "stage": "all",
        "pieces": sum(int(str(line["pieces"])) for line in lines),
        "hours": sum(float(str(line["hours"])) for line in lines),
    }
    return ReportTable(
        name="costs",
        title="Time of the stages",
        frame=pd.DataFrame([*lines, total]).astype({"pieces": "Int64"}),
        digits={"hours": 2, "median_seconds": 1, "longest_seconds": 1},
        note="Time of one thread or GPU when the stage ran. A piece of work that several trials "
        "share counts once.",
    )


def memory_table(rows: pd.DataFrame) -> ReportTable | None:
    """Tabulate the largest memory by kind of device; None where it is not known."""
    found = rows[rows["peak_memory_mib"].notna()]
    if not len(found):
        return None
    groups = found.groupby("device", dropna=False)["peak_memory_mib"]
    return ReportTable(
        name="memory",
        title="Largest memory of a training, in MiB",
        frame=groups.agg(median="median", largest="max").reset_index(),
        digits={"median": 0, "largest": 0},
    )


def acceptance_table(rows: pd.DataFrame) -> ReportTable | None:
    """Tabulate which share of the candidates became samples, and why the others did not.

    Args:
        rows: Result rows.

    Returns:
        A line for each generator: means over its sample sets; None without counts.
    """
    found = rows[rows["candidates"].fillna(0) > 0].drop_duplicates("experiment")
    if not len(found):
        return None
    reasons = [name for name in found.columns if name.startswith(_REASON)]
    reasons = [name for name in reasons if found[name].fillna(0).sum() > 0]
    sums = found.groupby("generator")[["candidates", "accepted", *reasons]].sum()
    shares = (
        sums[["accepted", *reasons]].astype(float).div(sums["candidates"].astype(float), axis=0)
    )
    table = shares.rename(columns={name: name.removeprefix(_REASON) for name in reasons})
    table.insert(0, "candidates", sums["candidates"])
    return ReportTable(
        name="acceptance",
        title="Share of the candidates that became samples, and reasons of rejection",
        frame=table.reset_index(),
        note="A candidate that fails several filters counts under the first.",
    )


def provenance_table(rows: pd.DataFrame) -> ReportTable:
    """List with what and when the rows were made.

    Args:
        rows: Result rows.

    Returns:
        A line for each fact, with all its values and how many rows have it.
    """
    lines = [
        {"fact": name.replace("_", " "), "value": str(value), "rows": int(count)}
        for name in present(rows, _PROVENANCE)
        for value, count in rows[name].value_counts(sort=False).sort_index().items()
    ]
    times = rows["finished"].dropna()
    for name, time in (("first row", times.min()), ("last row", times.max())):
        if pd.notna(time):
            shown = time.strftime("%Y-%m-%d %H:%M UTC")
            lines.append({"fact": name, "value": shown, "rows": 1})
    return ReportTable(name="provenance", title="", frame=pd.DataFrame(lines))

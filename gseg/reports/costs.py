"""What results cost, how many candidates were accepted, and where they come from."""

from typing import Final

import pandas as pd

from gseg.pipeline.settings import columns
from gseg.reports.content import ReportTable
from gseg.reports.settings import SEARCH, present

_DIRECTION: Final = ("generator", *SEARCH, "direction_seed")
# Stage to the columns that tell its pieces of work apart.
_STAGES: Final = {
    "direction": _DIRECTION,
    "samples": (
        *(*_DIRECTION, "mask_kind"),
        *(name for name, each in columns().items() if each.path.startswith("samples.")),
    ),
    "training": ("experiment",),
    "scoring": ("scores",),
    "fid": ("generator", "fid_protocol"),
}
_REASON: Final = "rejected_"
_PROVENANCE: Final = (
    *("gseg_version", "commit", "torch_version", "ray_version", "python_version", "device"),
    *("recipe", "train_preset", "metric_profile", "eval_protocol", "fid_protocol"),
    *("published_fid_protocol", "supervision"),
)


def cost_table(rows: pd.DataFrame) -> ReportTable | None:
    """Add up the time of every stage, each piece of work once.

    Args:
        rows: Result rows.

    Returns:
        A line for each stage, and their sum; None where no time is known.
    """
    lines: list[dict[str, str | float]] = []
    for stage, keys in _STAGES.items():
        column = f"{stage}_seconds"
        found = rows[rows[column].notna()] if column in rows else rows.iloc[:0]
        if not len(found):
            continue
        # A growing set of samples is one piece of work: its largest size took the most time.
        pieces = found.groupby(present(found, keys), dropna=False)[column].max().astype(float)
        name = "Fréchet distance" if stage == "fid" else stage
        lines.append({"stage": name, "pieces": len(pieces), "hours": pieces.sum() / 3600})
        lines[-1] |= {"median_seconds": pieces.median(), "longest_seconds": pieces.max()}
    if not lines:
        return None
    frame = pd.DataFrame(lines)
    total = {"stage": "all", "pieces": frame["pieces"].sum(), "hours": sum(frame["hours"])}
    return ReportTable(
        name="costs",
        title="Time of the stages",
        frame=pd.concat([frame, pd.DataFrame([total])], ignore_index=True),
        digits={"hours": 2, "median_seconds": 1, "longest_seconds": 1},
        note="Time of one thread or GPU when the stage ran. A piece of work that several trials "
        "share counts once.",
    )


def memory_table(rows: pd.DataFrame) -> ReportTable | None:
    """Tabulate the largest memory by kind of device; None where it is not known."""
    found = rows[rows["peak_memory_mib"].notna()]
    groups = found.groupby("device", dropna=False)["peak_memory_mib"]
    table = ReportTable(
        name="memory",
        title="Largest memory of a training, in MiB",
        frame=groups.agg(median="median", largest="max").reset_index(),
        digits={"median": 0, "largest": 0},
    )
    return table if len(found) else None


def acceptance_table(rows: pd.DataFrame) -> ReportTable | None:
    """Tabulate which share of the candidates became samples, and why the others did not.

    Args:
        rows: Result rows.

    Returns:
        A line for each generator: means over its sample sets; None without counts.
    """
    # An experiment has rows of several benchmarks and profiles, but one set of samples.
    found = rows[rows["candidates"].fillna(0) > 0].drop_duplicates("experiment")
    reasons = [name for name in found.columns if name.startswith(_REASON) and found[name].sum() > 0]
    sums = found.groupby("generator")[["candidates", "accepted", *reasons]].sum()
    shares = sums.astype(float).div(sums["candidates"].astype(float), axis=0)
    shares["candidates"] = sums["candidates"]
    table = ReportTable(
        name="acceptance",
        title="Share of the candidates that became samples, and reasons of rejection",
        frame=shares.rename(columns=lambda name: name.removeprefix(_REASON)).reset_index(),
        note="A candidate that fails several filters counts under the first.",
    )
    return table if len(found) else None


def provenance_table(rows: pd.DataFrame) -> ReportTable:
    """List with what and when the rows were made.

    Args:
        rows: Result rows.

    Returns:
        A line for each fact, with all its values and how many rows have it.
    """
    lines = [
        (name.replace("_", " "), str(value), int(count))
        for name in present(rows, _PROVENANCE)
        for value, count in rows[name].value_counts(sort=False).sort_index().items()
    ]
    times = {"first row": rows["finished"].min(), "last row": rows["finished"].max()}
    lines += [(k, f"{at:%Y-%m-%d %H:%M UTC}", 1) for k, at in times.items() if pd.notna(at)]
    frame = pd.DataFrame(lines, columns=["fact", "value", "rows"])
    return ReportTable(name="provenance", title="", frame=frame)

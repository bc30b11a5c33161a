"""``gseg choose``: the best of finished trials, without labels."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from gseg.commands.app import OutFile, Place, console
from gseg.commands.bars import plain_table, progress_bar
from gseg.commands.given import check_apart
from gseg.commands.working import AnyWeights, Device
from gseg.search.objectives import CHOICE, CRITERIA
from gseg.storage.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

_SHOWN: Final = 10
# Criteria that the table has beside the one that decides; the file has all.
_BESIDE: Final = ("held_out_iou", "consensus", "mask_ratio")
_ABOUT: Final = ", ".join(f"{name} ({each.meaning})" for name, each in CRITERIA.items())


def choose_among(
    results: Path,
    /,
    *,
    storage: Place = Path("storage"),
    pictures: Path | None = None,
    criterion: Annotated[
        str, Parameter(choices=tuple(CRITERIA), help=f"What decides: {_ABOUT}.")
    ] = CHOICE,
    json_: OutFile | None = None,
    weights: AnyWeights = None,
    device: Device = "cpu",
) -> int:
    """Choose the best trial of a sweep or search, without labels.

    Trials with trivial masks, or of a generator that makes the same few pictures, are refused with
    the reason. Of the others the one is chosen whose segmenter learnt held-out generated pairs best
    and agrees most with the nearer half of the others on pictures that all of them see.

    gseg choose results/search --pictures my_pictures

    Args:
        results: Folder of rows.
        storage: That of the sweep, a folder or s3://BUCKET/PREFIX.
        pictures: Folder of pictures on which segmenters are compared, best such as they shall
            segment; no masks are needed. Without it generated ones.
        criterion: What decides.
        json_: Write the ranking.
        weights: Of published generators.
        device: Where to compute.

    Raises:
        ValueError: There are no such trials, or all of them are refused.
    """
    from gseg.generators.catalogue import use_weights
    from gseg.pipeline.jobs.job import require_device
    from gseg.pipeline.rows import results as read_results
    from gseg.search.choice import choose_trials

    check_apart({"--json": json_}, {"RESULTS": results, "--pictures": pictures})
    use_weights(weights)
    require_device(device)
    rows = read_results(results)
    with progress_bar("trials") as progress:
        ranking = choose_trials(
            rows, storage, criterion, pictures=pictures, device=device, progress=progress
        )
    if json_:
        write_atomically(json_, json.dumps(_plain(ranking, criterion), indent=1).encode())
    show_choice(ranking, criterion, console())
    return 0


def show_choice(ranking: "pd.DataFrame", criterion: str, shown_on: "Console") -> None:
    """Print a ranking, what was refused and why, and which trial is chosen.

    Args:
        ranking: From `gseg.search.choice.choose_trials`.
        criterion: What decided.
        shown_on: Where to print.
    """
    say, names = shown_on.print, _told(ranking)
    say(_table(ranking, names, criterion))
    for _, row in ranking[ranking["objection"] != ""].iterrows():
        say(f"refused: {_name(row, names)}: {row['objection']}", style="yellow")
    best = ranking.iloc[0]
    say(f"chosen without labels, by {criterion}: {_name(best, names)}")
    say(f"experiment: {best['experiment']}")
    for file in best["segmenters"]:
        say(f"segmenter: {file}")


def _told(ranking: "pd.DataFrame") -> list[str]:
    """Name the settings in which the trials differ."""
    from gseg.reports.settings import SEEDS, SETTINGS, varying

    return varying(ranking, ("generator", *SETTINGS, *SEEDS))


def _name(row: "pd.Series[Any]", names: list[str]) -> str:
    from gseg.reports.settings import setting_text

    others = setting_text(row, [name for name in names if name != "generator"])
    return ", ".join(filter(None, (str(row["generator"]), others)))


def _table(ranking: "pd.DataFrame", names: list[str], criterion: str) -> "Table":
    measured = [name for name in _BESIDE if name != criterion and f"choice_{name}" in ranking]
    shown = ranking[ranking["objection"] == ""].head(_SHOWN)
    cells = [
        [
            str(place),
            _name(row, names),
            f"{row['value']:.4f}",
            *(f"{row[f'choice_{name}']:.3f}" for name in measured),
        ]
        for place, (_, row) in enumerate(shown.iterrows(), start=1)
    ]
    headings = ("", "trial", criterion, *measured)
    return plain_table([each.replace("_", " ") for each in headings], cells, right=headings)


def _plain(ranking: "pd.DataFrame", criterion: str) -> dict[str, Any]:
    """Give the ranking as JSON values, with null for what is not known."""
    lines = json.loads(ranking.to_json(orient="records", date_format="iso", default_handler=str))
    return {"criterion": criterion, "chosen": lines[0], "ranking": lines}

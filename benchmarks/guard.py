"""What scenes can be segmented without a generator: `python benchmarks/guard.py`.

The scenes are worth something as a benchmark only where no rule that knows nothing solves them and
a network with true masks does. Every rule of `gseg.scores.specs` is scored, and the network of the
embedded recipes trained with true masks; with `--distilled` also the same network trained with
each rule's masks of the same pictures. Limits hold for the far end of the interval over pictures.
Rows go to `--out` as Parquet; the exit status is 1 where the scenes that ship do not keep a limit.
`tests/scenes/test_guard.py` holds them to it.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd
import torch
from rich.console import Console

from gseg.reports.tables import Column, terminal_table
from gseg.scenes.pictures import HELD_OUT_FIRST, VALIDATION_FIRST, render
from gseg.scenes.versions import SCENES, VERSIONS
from gseg.scores.baselines import BASELINES, rule_masks
from gseg.scores.benchmarks import ScenesBenchmark
from gseg.scores.protocol import Predict, bootstrap_intervals, score
from gseg.scores.specs import CHAINS, DEFAULT_PROFILES, RULES
from gseg.segmenters.config import fit_preset
from gseg.segmenters.fit import fit
from gseg.storage.files import replacing

COUNT: Final = 2_000
"""Pictures that are scored on."""
MOST: Final = {"rule": 0.65, "chain": 0.75}
"""IoU that no rule and no chain may exceed."""
LEAST: Final = {"true masks": 0.95}
"""IoU that the network must reach."""
STEPS: Final = 1_000
"""Of the networks' trainings."""
TRAINED_ON: Final = 4_000

Row = dict[str, Any]


def rule_rows(
    names: Sequence[str] = tuple(RULES),
    *,
    count: int = COUNT,
    first: int = HELD_OUT_FIRST,
    **scenes: str,
) -> Iterator[Row]:
    """Score rules.

    Args:
        names: Of the rules.
        count: Pictures.
        first: Index of the first picture.
        scenes: Version of the scenes, if not the default one.
    """
    for name in names:
        kind = "chain" if name in CHAINS else "rule"
        yield _row(kind, name, BASELINES[name], count, first, scenes)


def network_rows(
    distilled: Sequence[str] = (),
    *,
    steps: int = STEPS,
    trained_on: int = TRAINED_ON,
    count: int = COUNT,
    first: int = HELD_OUT_FIRST,
    **scenes: str,
) -> Iterator[Row]:
    """Train the network with true masks and with those of rules, and score it.

    Args:
        distilled: Names of rules.
        steps: Of each training.
        trained_on: Pictures that are trained on.
        count: See `rule_rows`, as the others.
        first: Index of the first picture.
        scenes: Version of the scenes.
    """
    training, config = render(range(trained_on), **scenes), fit_preset("embedded").with_steps(steps)
    for name in ("", *distilled):
        masks = rule_masks(name, training.pictures) if name else training.masks
        network = fit(training.pictures, masks, config).segmenter
        kind = "distilled" if name else "true masks"
        yield _row(kind, name, network.probability, count, first, scenes) | {"steps": steps}


def _row(
    kind: str, name: str, predict: Predict, count: int, first: int, scenes: Mapping[str, str]
) -> Row:
    found = score(
        predict, ScenesBenchmark(count, first, **scenes), profiles=(DEFAULT_PROFILES[0],), batch=250
    )
    (means,), (intervals,) = found.aggregates.values(), bootstrap_intervals(found).values()
    low, high = intervals["iou"]
    most, least = MOST.get(kind), LEAST.get(kind)
    return {
        "scenes": scenes.get("version", SCENES.name),
        "kind": kind,
        "rule": name or None,
        "iou": means.iou,
        "iou_low": low,
        "iou_high": high,
        "most": most,
        "least": least,
        # Without a limit there is nothing to pass.
        "passes": high <= most if most else low >= least if least else None,
        "images": count,
        "first": first,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--versions", nargs="*", default=[SCENES.name], choices=list(VERSIONS), metavar="VERSION"
    )
    parser.add_argument("--count", type=int, default=COUNT, help="pictures (default: %(default)s)")
    parser.add_argument(
        "--validation", action="store_true", help="pictures for choices, not those for reports"
    )
    parser.add_argument(
        "--rules", nargs="*", default=list(RULES), choices=list(RULES), metavar="RULE"
    )
    parser.add_argument("--no-networks", action="store_true", help="train nothing")
    parser.add_argument("--distilled", action="store_true", help="train on the rules' masks, too")
    parser.add_argument(
        "--steps", type=int, default=STEPS, help="of trainings (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=Path("results/guard/rows.parquet"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    what: dict[str, Any] = {"count": options.count}
    what["first"] = VALIDATION_FIRST if options.validation else HELD_OUT_FIRST
    distilled = options.rules if options.distilled else ()
    rows: list[Row] = []
    for version in options.versions:
        rows += rule_rows(options.rules, version=version, **what)
        if not options.no_networks:
            rows += network_rows(distilled, steps=options.steps, version=version, **what)
    table = pd.DataFrame(rows).astype({"passes": "boolean"})
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(options.out) as part:
        table.to_parquet(part, index=False)
    for _, rows_of_one in table.groupby("scenes", sort=False):
        show(rows_of_one)
    raise SystemExit(0 if table["passes"][table["scenes"] == SCENES.name].all() else 1)


def show(table: pd.DataFrame) -> None:
    """Print the table, the best of each kind first."""
    first = table.iloc[0]
    columns = (("kind", ""), ("words", ""), ("iou", ".3f"), ("iou_low", ".3f"), ("iou_high", ".3f"))
    columns += (("most", ""), ("least", ""), ("passes", ""))
    lines = table.assign(words=table["rule"].map(RULES))
    lines = lines.sort_values(["kind", "iou"], ascending=[True, False], ignore_index=True)
    print_to = Console(width=100)
    print_to.print(
        terminal_table(
            f"{first['scenes']}: {first['images']:,} pictures from number {first['first']:,} on",
            [Column(name=name, form=form, right=bool(form)) for name, form in columns],
            lines,
            parts="kind",
        )
    )


if __name__ == "__main__":
    main()

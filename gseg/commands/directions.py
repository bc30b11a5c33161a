"""``gseg directions``: choose a segmenting direction among candidates, and show how."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from gseg.commands.app import Count, Number, OutFolder, console, make_app
from gseg.commands.bars import plain_table, progress_bar
from gseg.commands.given import needs, only_where
from gseg.commands.working import AnyWeights, Device
from gseg.directions.config import CandidateKind, ChoiceRule
from gseg.search.objectives import RULES

if TYPE_CHECKING:
    from rich.table import Table

    from gseg.directions.choosing import Choice
    from gseg.directions.config import ChoiceConfig

# Candidates in the table that is printed.
_SHOWN: Final = 5
_FIGURE: Final = "choice.png"
_RULES: Final = "; ".join(f"{rule}: {each.meaning} ({each.goal})" for rule, each in RULES.items())

app = make_app("directions", "Find latent directions that part foreground from background.")


@app.command
@needs(
    only_where("--candidates", ["learnt"], "--steps"),
    only_where("--candidates", ["pca"], "--layer"),
)
def choose(
    generator: str,
    /,
    *,
    out: OutFolder,
    candidates: CandidateKind = "random",
    count: Count = 120,
    steps: Count | None = None,
    layer: str = "",
    rule: Annotated[ChoiceRule, Parameter(help=f"What decides. {_RULES}.")] = "voynov2021",
    epsilon: float | None = None,
    pictures: Number | None = None,
    seed: Number = 0,
    weights: AnyWeights = None,
    device: Device = "cpu",
) -> int:
    """Choose a segmenting direction among candidates (Voynov et al. 2021).

    Two colour maps are fitted to what each one does to pictures. Writes the direction, a table of
    all candidates, and a figure. Learnt candidates that were interrupted go on.

    Args:
        generator: Catalogue name.
        out: Folder of results.
        candidates: Random unit vectors, directions that a network learns to tell apart (hours with
            large generators), components of activations, or factors of weights.
        count: Candidates in all.
        steps: Updates of learnt candidates; without it those of the settings.
        layer: Module whose activations pca takes; without it what suits the architecture.
        rule: What decides.
        epsilon: Length of the shift; without it 5, of embedded generators 1.
        pictures: How many the maps are fitted to, 0 for fresh ones in each step; without it 0, of
            embedded generators 32.
        seed: Of candidates and pictures.
        weights: Of published generators.
        device: Where to compute.

    Raises:
        ValueError: An option is out of range, or the candidates are of another generator.
    """
    from gseg.directions.candidates import load_candidates, make_candidates, save_candidates
    from gseg.directions.choosing import choose_direction, save_choice
    from gseg.generators.catalogue import full_name, load_generator, use_weights
    from gseg.pipeline.jobs.job import require_device
    from gseg.recipes.grids import grids
    from gseg.reports.paper_figures import choice_figure

    use_weights(weights)
    require_device(device)
    loaded = load_generator(full_name(generator), device=device)
    grid = grids()["embedded" if loaded.card.draws_scenes else "paper"]
    config = grid.with_candidates(candidates).choice
    kind = replace(config.candidates, count=count, layer=layer)
    if steps is not None:
        assert kind.learnt is not None
        kind = replace(kind, learnt=replace(kind.learnt, steps=steps))
    config = replace(
        config,
        candidates=kind,
        rule=rule,
        epsilon=config.epsilon if epsilon is None else epsilon,
        pictures=config.pictures if pictures is None else pictures,
    ).with_seed(seed)
    with progress_bar("candidates") as progress:
        found = make_candidates(loaded, config.candidates, folder=out, progress=progress)
    save_candidates(out, found)
    vectors = load_candidates(out)
    with progress_bar("colour maps") as progress:
        choice = choose_direction(loaded, vectors, config, progress=progress)
    save_choice(out, choice, config)
    choice_figure(out / _FIGURE, loaded, vectors, choice, config)
    _tell(choice, config, found.facts.get("accuracy"), out)
    return 0


def _tell(choice: "Choice", config: "ChoiceConfig", accuracy: float | None, folder: Path) -> None:
    told = "" if accuracy is None else f", {accuracy:.0%} told apart"
    vote = choice.direction.provenance["border_vote"]
    say = console().print
    say(_table(choice, config))
    say(
        f"direction: {folder}, candidate {choice.number} of {len(choice.scores.ratios)} "
        f"({config.candidates.kind}{told}); {vote:.0%} of the pictures' borders get lighter along "
        f"it, so lighter is {'its opposite' if vote > 0.5 else 'its own sense'}"
    )
    say(f"figure: {folder / _FIGURE}")


def _table(choice: "Choice", config: "ChoiceConfig") -> "Table":
    scores = choice.scores
    eligible = scores.eligible(config)
    headings = ("candidate", "loss", "D", "two maps / one", "lightened", "eligible")
    rows = [
        (
            str(number),
            f"{scores.two.losses[number]:.4f}",
            f"{scores.two.distances[number]:.4f}",
            f"{scores.ratios[number]:.3f}",
            f"{scores.two.shares[number]:.0%}",
            "yes" if eligible[number] else "no",
        )
        for number in _ranked(choice, config)[:_SHOWN]
    ]
    return plain_table(headings, rows, right=headings)


def _ranked(choice: "Choice", config: "ChoiceConfig") -> Sequence[int]:
    """Order candidates by the rule, the chosen one first."""
    scores = choice.scores
    if config.rule == "affine_ratio":
        order: list[int] = scores.ratios.argsort().tolist()
        return order
    eligible = scores.eligible(config)
    numbers = range(len(eligible))
    return sorted(numbers, key=lambda k: (not eligible[k], -float(scores.two.distances[k])))

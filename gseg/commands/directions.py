"""``gseg directions``: choose a segmenting direction among candidates, and show how."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from gseg.commands.bars import progress_bar
from gseg.directions.candidates import load_candidates, make_candidates, save_candidates
from gseg.directions.choosing import Choice, choose_direction, save_choice
from gseg.directions.config import CandidateConfig, ChoiceConfig
from gseg.generators.catalogue import load_generator, use_weights
from gseg.generators.contract import Generator
from gseg.pipeline.jobs.job import require_device
from gseg.recipes.grids import Grid, grids
from gseg.reports.paper_figures import choice_figure

_SHOWN: Final = 5
_FIGURE: Final = "choice.png"


def choose(options: argparse.Namespace, console: Console) -> int:
    """Choose a direction, write it, its candidates and a figure.

    Args:
        options: ``generator``, ``out``, ``candidates``, ``count``, ``steps``, ``rule``,
            ``epsilon``, ``pictures``, ``seed``, ``weights`` and ``device``.
        console: Receives the best candidates.

    Returns:
        Exit status 0.

    Raises:
        ValueError: An option is out of range, or the candidates are of another generator.
    """
    use_weights(options.weights)
    require_device(options.device)
    generator = load_generator(options.generator, device=options.device)
    config = _config(options, generator)
    folder: Path = options.out
    with progress_bar("candidates") as progress:
        found = make_candidates(generator, config.candidates, folder=folder, progress=progress)
    save_candidates(folder, found)
    vectors = load_candidates(folder)
    with progress_bar("colour maps") as progress:
        choice = choose_direction(generator, vectors, config, progress=progress)
    save_choice(folder, choice, config)
    choice_figure(folder / _FIGURE, generator, vectors, choice, config)
    console.print(_table(choice, config))
    facts = choice.direction.provenance
    console.print(
        f"direction: {folder}, candidate {choice.number} of {len(vectors)} "
        f"({_candidate_name(config.candidates, found.facts)}); {facts['border_vote']:.0%} of the "
        "pictures' borders get lighter along it, so lighter is "
        f"{'its opposite' if facts['border_vote'] > 0.5 else 'its own sense'}",
        markup=False,
    )
    console.print(f"figure: {folder / _FIGURE}", markup=False)
    return 0


def _config(options: argparse.Namespace, generator: Generator) -> ChoiceConfig:
    """Take the embedded settings for generators of scenes, the paper's for others."""
    grid: Grid = grids()["embedded" if generator.card.dataset == "scenes" else "paper"]
    choice = grid.with_candidates(options.candidates).choice
    candidates = replace(choice.candidates, count=options.count)
    if options.steps is not None:
        if candidates.learnt is None:
            raise ValueError("--steps is for learnt candidates: add --candidates learnt.")
        candidates = replace(candidates, learnt=replace(candidates.learnt, steps=options.steps))
    if options.layer and options.candidates != "pca":
        raise ValueError("--layer is for components of activations: add --candidates pca.")
    return replace(
        choice,
        candidates=replace(candidates, layer=options.layer),
        rule=options.rule,
        epsilon=choice.epsilon if options.epsilon is None else options.epsilon,
        pictures=choice.pictures if options.pictures is None else options.pictures,
    ).with_seed(options.seed)


def _table(choice: Choice, config: ChoiceConfig) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("candidate", "loss", "D", "two maps / one", "lightened", "eligible"):
        table.add_column(heading, justify="right")
    scores = choice.scores
    eligible = scores.eligible(config)
    for number in _ranked(choice, config)[:_SHOWN]:
        table.add_row(
            str(number),
            f"{scores.two.losses[number]:.4f}",
            f"{scores.two.distances[number]:.4f}",
            f"{scores.ratios[number]:.3f}",
            f"{scores.two.shares[number]:.0%}",
            "yes" if eligible[number] else "no",
        )
    return table


def _ranked(choice: Choice, config: ChoiceConfig) -> Sequence[int]:
    """Order candidates by the rule, the chosen one first."""
    scores = choice.scores
    if config.rule == "affine_ratio":
        order: list[int] = scores.ratios.argsort().tolist()
        return order
    eligible = scores.eligible(config)
    numbers = range(len(eligible))
    return sorted(numbers, key=lambda k: (not eligible[k], -float(scores.two.distances[k])))


def _candidate_name(config: CandidateConfig, facts: dict[str, float]) -> str:
    if "accuracy" in facts:
        return f"{config.kind}, {facts['accuracy']:.0%} told apart"
    return config.kind

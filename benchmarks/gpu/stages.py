"""What a trial does beside drawing and training: its work against the bare forwards in it."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.directions import passes
from benchmarks.fid import random_inception
from benchmarks.gpu.findings import Task
from benchmarks.gpu.networks import BIGBIGAN, build_generator
from benchmarks.gpu.speed import spent
from benchmarks.samples import some_directions
from benchmarks.scores import made_up_photographs, score_seconds
from gseg.directions.affine import fit_maps, fit_operators, generated_batches
from gseg.directions.config import affine_preset, search_preset
from gseg.directions.direction import Direction
from gseg.directions.search import optimise
from gseg.exactness import exact
from gseg.features.networks import NetworkFeatures, scenes_features
from gseg.generators.contract import Generator
from gseg.scores.benchmarks import FolderBenchmark

DIRECTIONS = 120
"""Candidates in the official program of Voynov et al. 2021."""
EPSILON = 5.0


def stages(task: Task) -> None:
    generator, device = build_generator(BIGBIGAN, task), task.device.type
    todo: dict[str, Callable[[], dict[str, Any]]] = {
        "direction search": partial(search, generator, task),
        "colour maps of many directions": partial(many_operators, generator, task),
        "colour maps of one direction": partial(one_operator, generator, task),
        "scoring photographs": partial(scoring, task),
        "scenes features": lambda: features(scenes_features(device=device), 32, 20_000, task),
        "Inception features": lambda: features(random_inception(device), 64, 1_024, task),
    }
    with exact():  # results are, and so is what they are compared with
        for name, work in todo.items():
            task.findings.attempt("stages", name, work)


def against(
    pictures: int, work: Callable[[], object], bare: Callable[[], object], task: Task
) -> dict[str, Any]:
    """Time work on some pictures and the bare forwards that it contains, each after a first go."""
    spent(bare, 1, task.device)
    alone = spent(bare, 1, task.device)
    spent(work, 1, task.device)
    whole = spent(work, 1, task.device)
    return {
        "pictures_per_second": pictures / whole,
        "wall_over_forwards": whole / alone,
        "pictures": pictures,
        "work_seconds": whole,
    }


def search(generator: Generator, task: Task) -> dict[str, Any]:
    """Both directions together; a picture counts each time that it goes forward."""
    steps, batch = (2, 2) if task.rehearsal else (5, 32)
    paper = search_preset("melas2022_text")
    config = replace(paper, steps=steps, batch=batch)
    one = passes(generator, batch, 1)

    def bare() -> None:
        for _ in range(steps):
            one()

    found = against(3 * batch * steps, lambda: optimise(generator, config, (1, -1)), bare, task)
    found["whole_seconds (extrapolated)"] = found["work_seconds"] / steps * paper.steps
    return found


def many_operators(generator: Generator, task: Task) -> dict[str, Any]:
    count, steps = (3, 2) if task.rehearsal else (DIRECTIONS, 2)
    paper = affine_preset("voynov2021_program")
    config = replace(paper, steps=steps, test_batches=1)
    vectors = torch.stack([each.lighter for each in some_directions(generator, count)])
    batches = generated_batches(generator, EPSILON * vectors.to(task.device), config)

    def bare() -> None:
        for step in range(steps + 1):
            batches(step)

    pictures = (count + 1) * config.batch * (steps + 1)
    found = against(pictures, lambda: fit_maps(batches, config), bare, task)
    whole = found["work_seconds"] / (steps + 1) * (paper.steps + paper.test_batches)
    return {**found, "directions": count, "whole_seconds (extrapolated)": whole}


def one_operator(generator: Generator, task: Task) -> dict[str, Any]:
    steps = 2 if task.rehearsal else 20
    config = replace(affine_preset("gseg"), steps=steps, test_batches=1)
    vector = some_directions(generator, 1)[0].lighter
    direction = Direction(lighter=vector, darker=-vector)
    batches = generated_batches(generator, EPSILON * vector[None].to(task.device), config)

    def bare() -> None:
        for step in range(steps + 1):
            batches(step)

    work = partial(fit_operators, generator, direction, EPSILON, config)
    return against(2 * config.batch * (steps + 1), work, bare, task)


def scoring(task: Task) -> dict[str, Any]:
    count, width = (20, 8) if task.rehearsal else (500, 64)
    with tempfile.TemporaryDirectory() as folder:
        made_up_photographs(Path(folder), count, 10 if task.rehearsal else 40)
        benchmark = FolderBenchmark(folder)
        wall, forward = score_seconds(benchmark, 128, width, task.device.type, "text")
    return {
        "pictures_per_second": count / wall,
        "wall_over_forwards": wall / forward,
        "pictures": count,
        "work_seconds": wall,
    }


def features(extractor: NetworkFeatures, side: int, count: int, task: Task) -> dict[str, Any]:
    """Pictures come from the CPU's memory and features go back to it; bare ones stay."""
    count = 8 if task.rehearsal else count
    pictures = torch.randint(256, (count, 3, side, side), dtype=torch.uint8)
    there = pictures.to(task.device)
    return against(
        count, lambda: extractor(pictures), lambda: bare_features(extractor, there), task
    )


@torch.no_grad()
def bare_features(extractor: NetworkFeatures, pictures: torch.Tensor) -> None:
    for part in pictures.split(extractor._batch):
        extractor._compute(part)

"""Choose the edge weight κ of the objective `gseg` without labels.

`python benchmarks/objective_weights.py [names ...]` searches directions on every embedded
generator for a row of κ, with λ = 5 throughout, and prints how well two colour maps explain each
shift against one (`gseg.two_affine_ratio`, no masks and no labels involved; low is
good). Directions are scored on pictures that the search did not see.

Adam does not react to the scale of a loss, so λ = 5 with another κ is the same search as another
λ with the built-in κ; that is how it is done here.
"""

import argparse
import statistics
import time
from dataclasses import replace

import torch

from gseg.directions.affine import two_affine_ratio
from gseg.directions.codes import shifted_pictures
from gseg.directions.config import SearchConfig
from gseg.directions.objective import objective
from gseg.directions.search import search_direction
from gseg.generators.catalogue import list_generators, load_generator

KAPPAS = (5.0, 12.5, 25.0, 50.0, 75.0, 125.0, 200.0, 300.0, 500.0, 1000.0, 2500.0)


def row(name: str, kappas: list[float], seeds: int, epsilon: float) -> list[float]:
    """Mean ratio over both directions and all seeds, for each κ."""
    generator = load_generator(name)
    base = SearchConfig(epsilon=epsilon)
    built_in = objective("gseg").edge_weight
    means = []
    for kappa in kappas:
        vectors = []
        for seed in range(seeds):
            weight = base.contrast_weight * built_in / kappa
            found = search_direction(generator, replace(base, contrast_weight=weight, seed=seed))
            vectors += [found.lighter, found.darker]
        shifts = epsilon * torch.stack(vectors)
        shown = shifted_pictures(generator, shifts, range(64), seed=1000)
        means.append(two_affine_ratio(*shown).mean().item())
    return means


def show(name: str, values: list[float], seconds: float | None = None) -> None:
    best = min(values)
    cells = " ".join(f"{v:>6.3f}{'*' if v == best else ' '}" for v in values)
    print(f"{name:<28} {cells}" + ("" if seconds is None else f" {seconds:>6.0f}"), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="generators; default: all embedded")
    parser.add_argument("--kappa", nargs="+", type=float, default=list(KAPPAS))
    parser.add_argument("--seeds", type=int, default=2, help="searches for each κ")
    parser.add_argument("--epsilon", type=float, default=SearchConfig().epsilon)
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = options.names or [card.name for card in list_generators("embedded")]
    print("two-affine ratio by κ (λ = 5), * marks the best of a row")
    print(f"{'generator':<28} " + " ".join(f"{k:>6g} " for k in options.kappa) + " seconds")
    rows = []
    for name in names:
        began = time.perf_counter()
        rows.append(row(name, options.kappa, options.seeds, options.epsilon))
        show(name, rows[-1], time.perf_counter() - began)
    show("mean", [statistics.mean(column) for column in zip(*rows, strict=True)])
    # Each row counts by its shape, not by how well its generator can be segmented at all.
    relative = [[value / min(values) for value in values] for values in rows]
    show("mean over the row's best", [statistics.mean(c) for c in zip(*relative, strict=True)])


if __name__ == "__main__":
    main()

"""Which point a search tries next: a pure function of the space, what is known, and a seed.

Point n follows from the seed, n, and the results of earlier points alone. A search that is killed
and started again goes on with the points that it would have tried anyway.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import numpy as np
import optuna

from gseg.pipeline.settings import Value
from gseg.randomness import derive_seed
from gseg.search.objectives import Objective
from gseg.search.records import Record
from gseg.search.space import Parameter, Space

Sampler = Literal["grid", "random", "tpe"]
RANDOM_FIRST: Final = 10
"""Points that are drawn at random before the tree-structured estimator takes over; Optuna's
default."""
_TRIES: Final = 200
"""Points drawn at random to find one that has not been tried yet."""


def suggest(
    space: Space,
    objectives: Sequence[Objective],
    history: Sequence[Record],
    number: int,
    *,
    seed: int,
    watched: str = "",
    random_first: int = RANDOM_FIRST,
) -> dict[str, Value]:
    """Suggest a point by the tree-structured Parzen estimator (Bergstra et al. 2011) of Optuna.

    With several objectives it is the multi-objective form (Ozaki et al. 2022), which looks for
    the points that no other beats in everything.

    Args:
        space: Where to look.
        objectives: What to look for.
        history: Points of the space that are known, whatever their number.
        number: Of the point that is wanted.
        seed: Of the search.
        watched: Objective by which points were stopped early, if any: where it is the only
            objective, such points teach something, too.
        random_first: Points known before which points are drawn at random.

    Returns:
        A value for each setting.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(
        seed=derive_seed(seed, "tpe", number) % 2**32, n_startup_trials=random_first
    )
    directions: list[Literal["minimize", "maximize"]] = [
        "minimize" if each.goal == "min" else "maximize" for each in objectives
    ]
    study = optuna.create_study(directions=directions, sampler=sampler)
    distributions = {each.name: _distribution(each) for each in space.parameters}
    for record in sorted(history, key=lambda each: each.number):
        frozen = _frozen(record, distributions, objectives, watched)
        if frozen is not None:
            study.add_trial(frozen)
    point: dict[str, Value] = study.ask(distributions).params
    return {name: point[name] for name in space.names}


def draw_point(
    space: Space, is_taken: Callable[[Mapping[str, Value]], bool], number: int, *, seed: int
) -> dict[str, Value] | None:
    """Draw a point at random that is not taken.

    Args:
        space: Where to look.
        is_taken: Whether a point has been tried.
        number: Of the point that is wanted.
        seed: Of the search.

    Returns:
        The point; None if none was found, since there are hardly any left.
    """
    random = np.random.default_rng(derive_seed(seed, "random", number))
    for _ in range(_TRIES):
        point = space.draw(random)
        if not is_taken(point):
            return point
    return None


def _distribution(parameter: Parameter) -> optuna.distributions.BaseDistribution:
    if parameter.choices:
        return optuna.distributions.CategoricalDistribution(parameter.choices)
    log = parameter.scale == "log"
    if parameter.whole:
        return optuna.distributions.IntDistribution(
            round(parameter.low), round(parameter.high), log=log
        )
    return optuna.distributions.FloatDistribution(parameter.low, parameter.high, log=log)


def _frozen(
    record: Record,
    distributions: Mapping[str, optuna.distributions.BaseDistribution],
    objectives: Sequence[Objective],
    watched: str,
) -> "optuna.trial.FrozenTrial | None":
    """Give a known point in Optuna's form; None for one that teaches nothing."""
    params = {name: value for name, value in record.parameters.items() if name in distributions}
    among = {name: distributions[name] for name in params}
    if record.state == "complete" and all(each.name in record.values for each in objectives):
        values = [record.values[each.name] for each in objectives]
        return optuna.trial.create_trial(params=params, distributions=among, values=values)
    last = {"held_out_loss": record.loss, "held_out_iou": record.iou}.get(watched)
    alone = [each.name for each in objectives] == [watched]
    if record.state == "pruned" and alone and last is not None and record.percent is not None:
        return optuna.trial.create_trial(
            params=params,
            distributions=among,
            state=optuna.trial.TrialState.PRUNED,
            intermediate_values={record.percent: last},
        )
    return None

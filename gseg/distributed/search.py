"""Searches on Ray Tune: points from `gseg.search.source`, stopped early by ASHA if asked for.

Tune's own searchers are not used: what is tried next follows from what is in the results' folder
(see `gseg.search.suggest`), so that a search can be killed, resumed and extended. Tune schedules
the points, restarts them, and its ASHA (Li et al. 2020, asynchronous successive halving) stops
those whose first network does badly on held-out generated pairs.
"""

import contextlib
import io
import json
import math
import tempfile
import time
from dataclasses import dataclass
from typing import Any, Final, Literal

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import Searcher

from gseg.distributed.capacity import is_one_machine
from gseg.distributed.point_actor import PointActor
from gseg.distributed.runtime import Resources
from gseg.distributed.tuning import RESTARTS, TimeIsUp, held_by_a_trial, reason_of
from gseg.generators.catalogue import weights_folder
from gseg.pipeline.rows import Row
from gseg.pipeline.trial import Context
from gseg.search.definition import Search
from gseg.search.objectives import OBJECTIVES
from gseg.search.records import Record, State
from gseg.search.source import Point, PointSource

_PERCENT: Final = "percent"
_WHOLE: Final = 100
_MODES: Final[dict[str, Literal["min", "max"]]] = {
    "held_out_loss": "min",
    "held_out_iou": "max",
}
WATCHED: Final = tuple(_MODES)
"""Objectives by which points can be stopped early."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asha:
    """Settings of the early stopping.

    Attributes:
        grace: Share of a training, in percent, before which no point is stopped.
        factor: At grace, grace x factor, grace x factor^2, ... percent, only about one in so many
            goes on.
    """

    grace: int = 25
    factor: float = 2.0

    def __post_init__(self) -> None:
        if not 1 <= self.grace < _WHOLE:
            raise ValueError(f"grace is in percent of a training, from 1 to 99, got {self.grace}.")
        if not (math.isfinite(self.factor) and self.factor > 1):
            raise ValueError(f"factor must be above 1, got {self.factor:g}.")


class PointListener:
    """Hears of points while a search runs; the methods do nothing unless overridden."""

    def started(self, point: Point) -> None:
        """A point has started."""

    def ended(self, record: Record, rows: list[Row]) -> None:
        """A point has been tried, or has failed; it has rows if it is complete."""

    def retried(self, point: Point, attempt: int, reason: str) -> None:
        """A point is started again, for the `attempt`-th time, for this reason."""


def run_search(
    search: Search,
    source: PointSource,
    setting: Context,
    resources: Resources,
    *,
    listener: PointListener,
    at_once: int,
    large: bool,
    asha: Asha | None = None,
    seconds: float | None = None,
) -> None:
    """Try points on the connected Ray until the source has no more.

    Args:
        search: The search.
        source: Gives its points.
        setting: Storage, benchmarks and protocol.
        resources: Where stages run.
        listener: Hears of every point, in this process.
        at_once: Points at the same time.
        large: See `gseg.distributed.sweep.run_sweep`.
        asha: How points are stopped early, by the search's watched objective; None for not at all.
        seconds: When to stop; points that run are left as they are. None for no limit.
    """
    if not source.left:
        return
    trainable = tune.with_parameters(
        PointActor,
        search=search,
        setting=setting,
        resources=resources,
        weights=weights_folder(),
    )
    scheduler = None
    if asha is not None:
        scheduler = ASHAScheduler(
            time_attr=_PERCENT,
            metric=search.watched,
            mode=_MODES[search.watched],
            max_t=_WHOLE,
            grace_period=asha.grace,
            reduction_factor=asha.factor,
        )
    with tempfile.TemporaryDirectory(prefix="gseg-tune-") as folder:
        tuner = tune.Tuner(
            tune.with_resources(trainable, held_by_a_trial(resources, large=large)),
            tune_config=tune.TuneConfig(
                search_alg=_Searcher(source),
                scheduler=scheduler,
                num_samples=source.left,
                max_concurrent_trials=at_once,
                # A process whose point was stopped may still be busy with it; one that a lost node
                # has taken along fails the point that was to take it over.
                reuse_actors=asha is None and is_one_machine(),
            ),
            run_config=tune.RunConfig(
                name="search",
                storage_path=folder,
                verbose=0,
                callbacks=[_Tracker(search, source, listener)],
                stop=None if seconds is None else TimeIsUp(seconds),
                failure_config=tune.FailureConfig(max_failures=RESTARTS),
            ),
        )
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            tuner.fit()


class _Searcher(Searcher):
    """Hands the source's points to Tune."""

    def __init__(self, source: PointSource) -> None:
        super().__init__()
        self._source = source

    def suggest(self, trial_id: str) -> Any:  # noqa: ANN401
        """Give a point; None while there is none to start, and a word of Tune's at the end."""
        point = self._source.next()
        if point is None:
            return None if self._source.left else Searcher.FINISHED
        return {"number": point.number, "parameters": json.dumps(dict(point.parameters))}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Do nothing: the source hears of results from the tracker."""

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing: the results' folder remembers."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class _Tracker(tune.Callback):
    """Turns Tune's events into records."""

    def __init__(self, search: Search, source: PointSource, listener: PointListener) -> None:
        self._search, self._source, self._listener = search, source, listener
        self._begun: dict[int, float] = {}
        self._seen: dict[int, dict[str, Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune writes its callbacks to a file for its own restore, which is not used

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: object
    ) -> None:
        point = _point_of(trial)
        self._begun.setdefault(point.number, time.monotonic())
        self._listener.started(point)

    def on_trial_recover(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: object
    ) -> None:
        attempt = trial.run_metadata.num_failures
        self._listener.retried(_point_of(trial), attempt, reason_of(trial))

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: object,
    ) -> None:
        point = _point_of(trial)
        if "failure" in result:
            failed = json.loads(result["failure"])
            self._end(point, "failed", reason=failed["reason"], own_fault=bool(failed["own_fault"]))
        elif "outcome" in result:
            outcome = json.loads(result["outcome"])
            self._end(point, "complete", values=outcome["values"], rows=outcome["rows"])
        else:
            self._seen[point.number] = result
            if result.get("done"):
                watched = self._search.watched
                reason = f"{watched} {result[watched]:.4f} at {result[_PERCENT]} % of its training"
                self._end(point, "pruned", reason=reason)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: object
    ) -> None:
        reason = f"{RESTARTS + 1} attempts, the last: {reason_of(trial)}"
        self._end(_point_of(trial), "failed", reason=reason)

    def _end(
        self,
        point: Point,
        state: State,
        *,
        reason: str = "",
        values: dict[str, float] | None = None,
        rows: list[Row] | None = None,
        own_fault: bool = False,
    ) -> None:
        seen = self._seen.get(point.number, {})
        known = {name: value for name, value in (values or {}).items() if name in OBJECTIVES}
        record = Record(
            number=point.number,
            parameters=point.parameters,
            experiments=self._search.names_of(point.parameters),
            state=state,
            values=known,
            reason=reason,
            percent=seen.get(_PERCENT),
            loss=seen.get("held_out_loss"),
            iou=seen.get("held_out_iou"),
            seconds=round(time.monotonic() - self._begun[point.number], 3),
            own_fault=own_fault,
            labels_used=self._search.uses_labels,
        )
        self._source.finish(record)
        self._listener.ended(record, rows or [])


def _point_of(trial: Trial) -> Point:
    config = trial.config
    return Point(number=config["number"], parameters=json.loads(config["parameters"]))

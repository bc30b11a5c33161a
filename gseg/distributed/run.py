"""Many points at once on Ray Tune: those of a list (a sweep), or of a search as it goes on.

What is tried next comes from a source (`gseg.search.source`), and the storage and the results'
folder remember what is finished: what was killed is simply started again. Tune's own searchers and
its restore are not used. Tune schedules the points, keeps their processes for the next one, and
starts a point again whose process died or that met a fault of the machines (see
`gseg.pipeline.failures`). Its ASHA (Li et al. 2020, asynchronous successive halving) stops points
whose first network does badly on held-out generated pairs, where that is asked for. When the time
is up all are stopped where they are, which costs no more than being killed.
"""

import contextlib
import io
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from gseg.distributed.actor import PointActor
from gseg.distributed.runtime import PERCENT, Asha, Resources, trials_at_once, with_later_actors
from gseg.distributed.session import session_folder
from gseg.generators.catalogue import weights_folder
from gseg.interruptions import told_on
from gseg.pipeline.direction_trial import AnyTrial
from gseg.pipeline.experiment import Context
from gseg.pipeline.rows import Row
from gseg.search.evaluate import SweepWork, Work
from gseg.search.objectives import OBJECTIVES
from gseg.search.records import Record, State
from gseg.search.source import ListedSource, Point, listed

_Trials = list[Trial]

RESTARTS: Final = 3
"""How often a point is started again after its process or node died, or after a fault of the
machines."""


class Listener:
    """Hears of points while they are tried; does nothing unless a method is overridden."""

    def started(self, point: Point) -> None:
        """A point has started; once more where it is started again."""

    def ended(self, record: Record, rows: list[Row]) -> None:
        """A point has been tried, or has failed; it has rows if it is complete."""

    def retried(self, point: Point, attempt: int, reason: str) -> None:
        """A point is started again, for the `attempt`-th time, for this reason."""


def run_sweep(
    trials: Sequence[AnyTrial],
    setting: Context,
    resources: Resources,
    *,
    large: bool,
    **options: Any,  # noqa: ANN401 those of `run_points`
) -> list[Record]:
    """Run trials in this order; see `run_points`."""
    source = listed(trials, at_once=trials_at_once(resources, large=large))
    work = SweepWork(trials=trials)
    return run_points(work, source, setting, resources, large=large, **options)


def run_points(
    work: Work,
    source: ListedSource,
    setting: Context,
    resources: Resources,
    *,
    large: bool,
    listener: Listener | None = None,
    keep: Callable[[Record, list[Row]], object] | None = None,
    asha: Asha | None = None,
    seconds: float | None = None,
) -> list[Record]:
    """Try points on the connected Ray until the source has no more; a failure stops no other.

    Args:
        work: What they mean.
        source: Gives them.
        setting: Storage, benchmarks and protocol.
        resources: Where stages run.
        large: Whether stages of these points run as distributed jobs (`Resources.is_large` of
            the largest one): the points then hold almost no CPU themselves.
        listener: Hears of every point, in this process.
        keep: Gets what came of a point, before the listener hears of it.
        asha: How points are stopped early; None for not at all.
        seconds: When to stop: no point starts any more, and those that run are left as they are.
            None for when all are done.

    Returns:
        What came of those that have ended, by number.
    """
    tracker = _Tracker(work, source, listener or Listener(), asha, keep)
    if not source.left or (seconds is not None and seconds <= 0):
        return []
    trainable = tune.with_parameters(
        PointActor,
        work=work,
        setting=setting,
        resources=with_later_actors(resources),
        holds=asha is not None,
        weights=weights_folder(),
        folder=Path.cwd(),
    )
    with tempfile.TemporaryDirectory(prefix="gseg-tune-", dir=session_folder()) as folder:
        tuner = tune.Tuner(
            tune.with_resources(trainable, resources.held_by_a_trial(large=large)),
            tune_config=tune.TuneConfig(
                search_alg=_Searcher(source),
                scheduler=None if asha is None else asha.scheduler(),
                num_samples=-1,  # until the source has no more
                # Said to Tune, too: so many wait at the same time for an autoscaler to see them.
                max_concurrent_trials=source.at_once,
                reuse_actors=asha is None,  # one whose point was stopped may still be busy with it
            ),
            run_config=tune.RunConfig(
                name="points",
                storage_path=folder,
                verbose=0,
                callbacks=[tracker],
                stop=None if seconds is None else _TimeIsUp(seconds),
                failure_config=tune.FailureConfig(max_failures=RESTARTS),
            ),
        )
        # What Tune still prints with verbose=0; a command that is stopped says so all the same.
        try:
            with (
                told_on(sys.stderr),
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(io.StringIO()),
            ):
                tuner.fit()
        except tune.TuneError as error:
            raise _own_error(error) from error
    return [tracker.ended[number] for number in sorted(tracker.ended)]


def _own_error(error: BaseException) -> BaseException:
    """Find what tracker, listener or source raised beneath what Tune made of it."""
    while isinstance(error, tune.TuneError) and (below := error.__cause__ or error.__context__):
        error = below
    return error


class _Searcher(Searcher):
    """Hands the source's points to Tune."""

    def __init__(self, source: ListedSource) -> None:
        super().__init__()
        self._source = source

    def suggest(self, trial_id: str) -> Any:  # noqa: ANN401
        """Give a point; None while there is none to start, and a word of Tune's at the end.

        Tune never asks again after that word, so it is not said while a point runs: it may be
        dropped, and is to be tried again then.
        """
        point = self._source.next()
        if point is None:
            return Searcher.FINISHED if self._source.is_done else None
        return {"point": json.dumps(asdict(point))}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Do nothing: the source hears of results from the tracker."""

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing: the storage and the results' folder remember."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class _Tracker(tune.Callback):
    """Turns Tune's events into records, for the source and a listener."""

    def __init__(
        self,
        work: Work,
        source: ListedSource,
        listener: Listener,
        asha: Asha | None = None,
        keep: Callable[[Record, list[Row]], object] | None = None,
    ) -> None:
        self._work, self._source, self._listener, self._asha = work, source, listener, asha
        self._keep = keep
        self._begun: dict[int, float] = {}
        self._measured: dict[int, dict[str, Any]] = {}
        self._drops: Counter[int] = Counter()
        self.ended: dict[int, Record] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune writes its callbacks to a file for its own restore, which is not used

    def on_trial_start(self, iteration: int, trials: _Trials, trial: Trial, **_: object) -> None:
        if point := self._point(trial):
            self._begun.setdefault(point.number, time.monotonic())
            self._listener.started(point)

    def on_trial_recover(self, iteration: int, trials: _Trials, trial: Trial, **_: object) -> None:
        if point := self._point(trial):
            self._listener.retried(point, trial.run_metadata.num_failures, _reason_of(trial))

    def on_trial_result(
        self, iteration: int, trials: _Trials, trial: Trial, result: dict[str, Any], **_: object
    ) -> None:
        point = self._point(trial)
        if point is None:
            return
        # What another attempt may mend is no result, but an error of Tune's (`on_trial_error`).
        if "failure" in result:
            self._end(point, "failed", reason=result["failure"], own_fault=result["own_fault"])
        elif "outcome" in result:
            outcome = json.loads(result["outcome"])
            values = {n: each for n, each in outcome["values"].items() if n in OBJECTIVES}
            self._end(point, "complete", outcome["rows"], values=values)
        elif self._asha is not None:
            self._measured[point.number] = result
            if result.get("done"):
                watched = self._asha.watched
                reason = f"{watched} {result[watched]:.4f} at {result[PERCENT]} % of its training"
                self._end(point, "pruned", reason=reason)

    def on_trial_error(self, iteration: int, trials: _Trials, trial: Trial, **_: object) -> None:
        point, attempts = self._point(trial), trial.run_metadata.num_failures
        if point is None:
            return
        if attempts > RESTARTS:
            reason = f"{RESTARTS + 1} attempts, the last: {_reason_of(trial)}"
            self._end(point, "failed", reason=reason)
            return
        # It was to take over a process that a lost node had taken along: Tune then drops it
        # without the attempts that it had left.
        self._drops[point.number] += 1
        if (drops := self._drops[point.number]) > RESTARTS:
            reason = f"dropped {drops} times: its process or node ended"
            self._end(point, "failed", reason=reason)
            return
        self._source.give_back(point)
        self._listener.retried(point, attempts, _reason_of(trial))

    def _point(self, trial: Trial) -> Point | None:
        """Give a trial's point; None for what is heard of it after its end.

        Tune runs a trial again whose process is lost between its result and its end.
        """
        point = Point(**json.loads(trial.config["point"]))
        return None if point.number in self.ended else point

    def _end(
        self,
        point: Point,
        state: State,
        rows: Sequence[Row] = (),
        **told: Any,  # noqa: ANN401 fields of a record
    ) -> None:
        now, measured = time.monotonic(), self._measured.get(point.number, {})
        record = Record(
            number=point.number,
            parameters=point.parameters,
            experiments=tuple(each.digest for each in self._work.trials_of(point)),
            state=state,
            percent=measured.get(PERCENT),
            loss=measured.get("held_out_loss"),
            iou=measured.get("held_out_iou"),
            seconds=round(now - self._begun.get(point.number, now), 3),
            labels_used=self._work.uses_labels,
            **told,
        )
        self.ended[point.number] = record
        self._source.finish(record)
        # Kept before it is told: who is killed at this moment has lost a line, not a result.
        if self._keep is not None:
            self._keep(record, list(rows))
        self._listener.ended(record, list(rows))


class _TimeIsUp(tune.Stopper):
    """Stops all points when the time is up.

    Args:
        seconds: From now.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Stop no trial for its results."""
        return False

    def stop_all(self) -> bool:
        """Say whether the time is up."""
        return time.monotonic() >= self._end


def _reason_of(trial: Trial) -> str:
    """Say in one line why a trial's last attempt ended, from the file that Tune keeps of it."""
    path = Path(trial.error_file) if trial.error_file else None
    if path is None or not path.exists():
        return "unknown"
    last = path.read_text().rpartition("Failure # ")[2].strip()
    if "node running low on memory" in last:  # Ray's, which comes before the system's
        return "its machine ran out of memory: run fewer at once (--concurrency), or add memory"
    if "ray::" in last:  # the last line of the stack trace: the error's kind and words
        kind, _, words = last.splitlines()[-1].partition(": ")
        return words or kind
    return "its process or node ended (killed, or out of memory)"

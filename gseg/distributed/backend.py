"""Does the jobs of a trial: in the trial's own process, or as distributed jobs on Ray.

The functions that do the work are the same in both places (`gseg.pipeline.jobs.fit`); this file
decides where they are called. Large drawings become Ray Data jobs on a pool of actors, large
trainings Ray Train runs, large scorings Ray tasks.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import ray
import ray.data
import ray.train
import torch
from ray.train.torch import TorchTrainer, prepare_model

from gseg.distributed.following import FILE as MEASUREMENTS
from gseg.distributed.following import MeasurementFile, following
from gseg.distributed.runtime import Resources
from gseg.pipeline.costs import draw_seconds, features_seconds, fit_seconds, score_seconds
from gseg.pipeline.devices import prepare_process
from gseg.pipeline.jobs.fit import BatchTooLargeError, DrawJob, FitJob, ScoreJob, draw_here
from gseg.pipeline.jobs.measure import InProcess, MeasureJob
from gseg.pipeline.progress import Report, silent
from gseg.pipeline.stages import save_fit
from gseg.scores.benchmarks import open_benchmark
from gseg.scores.protocol import Scores, merge_scores
from gseg.storage.mirror import describe, discard, fetch
from gseg.storage.store import write_atomically

_WORKER_RESTARTS: Final = 3
_FACTS: Final = "facts.json"
"""Where rank 0 leaves what the trial wants to know: Ray Train hands on no metrics of a run that
reported no checkpoint to it, and ours are in the job's folder."""
_FAULT: Final = "fault.txt"
"""Where a replica leaves what is wrong with the job itself, which no restart would mend."""
_TRAIN_FOLDER: Final = "ray_train"
_JOB_CPUS: Final = 0.9
"""A process of a job, less a share for the waiting trials: they hold 0.01 each, and as many
processes as there are CPUs shall fit beside them."""
_SCORE_PART: Final = 500
"""Pictures that one scoring task takes."""


class RayBackend:
    """Does jobs where the rule of `Resources` says.

    Args:
        resources: Devices, pool sizes and the rule.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        # A trial of large stages holds no GPU itself: nothing that needs one can run in it.
        self._blind = resources.device == "cuda" and not torch.cuda.is_available()

    @property
    def device(self) -> str:
        """Kind of device of every job."""
        return self._resources.device

    def call(self, work: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Do short work; see `gseg.pipeline.jobs.fit.Backend`."""
        return dict(ray.get(self._task(_call).remote(work))) if self._blind else work()

    def draw(self, job: DrawJob, shards: Sequence[int], listen: Callable[[], None]) -> None:
        """Draw shards; see `gseg.pipeline.jobs.fit.Backend`."""
        candidates = len(shards) * job.shard_size
        job = replace(job, cores=self._cores())
        if not self._is_remote(draw_seconds(job.generator, candidates, self.device)):
            draw_here(job, shards, listen)
            return
        # Shards that are not needed after all cost an actor nothing: so there may be many, and
        # the pool is as large as those that are needed whatever is accepted.
        sure = max(math.ceil(order.count / job.shard_size) for order in job.orders)
        most = min(len(shards), sure, self._drawers())
        pool = ray.data.ActorPoolStrategy(
            min_size=min(self._resources.min_drawers or most, most), max_size=most
        )
        rows = ray.data.from_items(
            [{"shard": shard} for shard in shards], override_num_blocks=len(shards)
        ).map_batches(
            _Drawer,
            fn_constructor_kwargs={"job": job},
            batch_size=1,
            compute=pool,
            num_cpus=_JOB_CPUS,
            num_gpus=self._resources.gpus_per_trial,
        )
        for row in rows.iter_rows():
            if row["too_large"]:
                raise BatchTooLargeError(job.orders[0].config.batch)
            listen()

    def fit(self, job: FitJob, report: Report) -> Mapping[str, Any]:
        """Train; see `gseg.pipeline.jobs.fit.Backend`."""
        side = job.material.training[0].resolution()
        large = self._is_remote(fit_seconds(job.config, side, self.device))
        if not large and job.config.replicas == 1:
            return save_fit(job, job.fit(report))
        measured, replicas = job.folder / MEASUREMENTS, job.config.replicas
        with following(measured, report):
            facts = self._run_workers(_train_replica, {"job": job}, job.folder, replicas)
        discard(measured)
        return facts

    def train(
        self, work: Callable[[], Mapping[str, Any]], folder: Path, seconds: float
    ) -> Mapping[str, Any]:
        """Do a long training; see `gseg.pipeline.jobs.fit.Backend`."""
        if not self._is_remote(seconds):
            return work()
        return self._run_workers(_train_alone, {"work": work, "folder": folder}, folder, 1)

    def _run_workers(
        self,
        loop: Callable[[dict[str, Any]], None],
        settings: dict[str, Any],
        folder: Path,
        replicas: int,
    ) -> Mapping[str, Any]:
        """Run Ray Train workers, which are started again when they die.

        Args:
            loop: What each does; leaves facts or a fault in the folder.
            settings: Its argument.
            folder: Of the job.
            replicas: How many.

        Returns:
            The facts.

        Raises:
            ValueError: There was a fault.
        """
        gpus = self._resources.gpus_per_trial
        worker = {"CPU": _JOB_CPUS} | ({"GPU": gpus} if gpus else {})
        trainer = TorchTrainer(
            loop,
            train_loop_config=settings,
            scaling_config=ray.train.ScalingConfig(
                num_workers=replicas, use_gpu=gpus > 0, resources_per_worker=worker
            ),
            run_config=ray.train.RunConfig(
                name=folder.name,
                storage_path=describe((folder / _TRAIN_FOLDER).absolute()),
                failure_config=ray.train.FailureConfig(max_failures=_WORKER_RESTARTS),
            ),
        )
        fault = folder / _FAULT
        discard(fault)
        try:
            trainer.fit()
        except ray.train.TrainingFailedError as error:
            if fetch(fault, again=True):
                raise ValueError(fault.read_text()) from error
            raise
        if fetch(fault, again=True):
            raise ValueError(fault.read_text())
        discard(folder / _TRAIN_FOLDER)
        fetch(folder / _FACTS, again=True)
        return dict(json.loads((folder / _FACTS).read_text()))

    def score(self, job: ScoreJob, report: Report) -> Scores:
        """Score; see `gseg.pipeline.jobs.fit.Backend`."""
        pictures = len(open_benchmark(job.benchmark, skip_bad=job.skip_bad))
        if not self._is_large_scoring(job, pictures):
            return job.score(report)
        parts = math.ceil(pictures / _SCORE_PART)
        task = self._task(_score_part)
        pending = [task.remote(job, part, parts) for part in range(parts)]
        waiting = pending
        while waiting:
            done, waiting = ray.wait(waiting)
            ray.get(done)  # a part that failed ends the others' wait
            report("scoring", pictures * (parts - len(waiting)) // parts, pictures)
        return merge_scores(ray.get(pending))

    def measure(self, job: MeasureJob, parts: Sequence[int], listen: Callable[[int], None]) -> None:
        """Take features; see `gseg.pipeline.jobs.fit.Backend`."""
        pictures = sum(len(job.rows(part)) for part in parts)
        cost = features_seconds(job.pictures.generator, pictures, job.features, self.device)
        if not parts or not self._is_remote(cost):
            InProcess(self.device).measure(job, parts, listen)
            return
        rows = ray.data.from_items(
            [{"part": part} for part in parts], override_num_blocks=len(parts)
        ).map_batches(
            _Measurer,
            fn_constructor_kwargs={"job": job},
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(len(parts), self._drawers())),
            num_cpus=_JOB_CPUS,
            num_gpus=self._resources.gpus_per_trial,
        )
        for row in rows.iter_rows():
            listen(len(job.rows(int(row["part"]))))

    def is_apart(self, job: ScoreJob) -> bool:
        """Say where a benchmark is scored; see `gseg.pipeline.jobs.fit.Backend`."""
        pictures = len(open_benchmark(job.benchmark, skip_bad=job.skip_bad))
        return self._is_large_scoring(job, pictures)

    def _is_large_scoring(self, job: ScoreJob, pictures: int) -> bool:
        return self._is_remote(score_seconds(pictures, job.working_size, self.device))

    def _is_remote(self, seconds: float) -> bool:
        return self._blind or self._resources.is_large(seconds)

    def _task(self, function: Callable[..., Any]) -> Any:  # noqa: ANN401
        """Make a task that holds what a trial in its own process would hold."""
        # Spread: the default would look for room inside the trial's own reservation.
        return ray.remote(function).options(
            num_cpus=_JOB_CPUS,
            num_gpus=self._resources.gpus_per_trial,
            scheduling_strategy="SPREAD",
        )

    def _cores(self) -> int | None:
        """Say how many cores there are for each process that shares a GPU; None without GPUs."""
        if not self._resources.gpus_per_trial:
            return None
        available: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        sharers = available.get("GPU", 1.0) / self._resources.gpus_per_trial
        return max(1, int(available.get("CPU", 1.0) / max(sharers, 1.0)))

    def _drawers(self) -> int:
        """Say how many actors draw for one trial."""
        if self._resources.drawers:
            return self._resources.drawers
        available: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        if self._resources.gpus_per_trial:
            return max(1, int(available.get("GPU", 0.0) / self._resources.gpus_per_trial))
        return max(1, int(available.get("CPU", 1.0)))


def _call(work: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    prepare_process(1)
    return work()


class _Drawer:
    """An actor that draws one shard after the other."""

    def __init__(self, job: DrawJob) -> None:
        prepare_process(1)
        self._job, self._seen = job, [order.growing() for order in job.orders]

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        too_large = []
        for shard in batch["shard"]:
            try:
                self._job.draw(int(shard), self._seen)
                too_large.append(False)
            except BatchTooLargeError:  # a row, as an exception would be taken for the actor's
                too_large.append(True)
        return {"shard": batch["shard"], "too_large": too_large}


class _Measurer:
    """An actor that takes the features of one part after the other."""

    def __init__(self, job: MeasureJob) -> None:
        prepare_process(1)
        self._job = job

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        for part in batch["part"]:
            self._job.measure(int(part), lambda pictures: None)
        return batch


def _train_replica(settings: dict[str, Any]) -> None:
    """Run in a Ray Train worker: one replica of the training.

    After a worker or its node died, Ray Train starts all replicas again, and they go on from the
    job's checkpoint.
    """
    job: FitJob = settings["job"]
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    try:
        report = silent if rank else MeasurementFile(job.folder / MEASUREMENTS)
        result = job.fit(report, rank=rank, wrap=prepare_model if world > 1 else None)
    except ValueError as error:
        write_atomically(job.folder / _FAULT, str(error).encode())
        if world > 1:
            raise  # the other replicas wait for this one
        return
    if rank == 0:
        facts = save_fit(job, result)
        write_atomically(job.folder / _FACTS, json.dumps(facts).encode())


def _train_alone(settings: dict[str, Any]) -> None:
    """Run in a Ray Train worker: a training that takes up what it left in its folder."""
    prepare_process(1)
    folder: Path = settings["folder"]
    try:
        facts = settings["work"]()
    except ValueError as error:
        write_atomically(folder / _FAULT, str(error).encode())
        return
    write_atomically(folder / _FACTS, json.dumps(dict(facts)).encode())


def _score_part(job: ScoreJob, part: int, parts: int) -> Scores:
    prepare_process(1)
    return job.score(silent, part=part, parts=parts)

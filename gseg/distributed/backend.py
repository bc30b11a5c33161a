"""Does the work of a trial: in the trial's own process, or distributed on Ray.

The same jobs are done in both places (`gseg.pipeline.jobs.job`); this file decides where. The parts
of a large job go to a pool of Ray Data actors, a large training to a Ray Train run.
"""

import json
import os
import pickle
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import psutil  # type: ignore[import-untyped]
import pyarrow as pa
import ray
import ray.data
import ray.train
import torch
from ray.train.torch import TorchConfig, TorchTrainer, prepare_model
from ray.train.torch.config import _TorchBackend

from gseg.distributed.runtime import Resources, there_now
from gseg.generators.catalogue import weights_folder
from gseg.pipeline.failures import is_own_fault
from gseg.pipeline.jobs.draw import DrawJob
from gseg.pipeline.jobs.job import Job, Listen, Training, prepare_process
from gseg.pipeline.progress import MEASUREMENTS, MeasurementFile, Report, following, silent
from gseg.storage.files import write_atomically
from gseg.storage.mirror import StorageError, describe, discard, fetch

T = TypeVar("T")

_WORKER_RESTARTS: Final = 3
# Where rank 0 leaves what the trial wants to know: Ray Train hands on no metrics of a run that
# reported no checkpoint to it, and ours are in the job's folder.
_FACTS: Final = "facts.json"
# Where a replica leaves what is wrong with the job itself, which no restart would mend, or with the
# storage, which the trial's next attempt may.
_FAULT: Final = "fault.json"
_TRAIN_FOLDER: Final = "ray_train"
# A process of a job, less a share for the waiting trials: they hold 0.01 each, and as many
# processes as there are CPUs shall fit beside them.
_JOB_CPUS: Final = 0.9


class RayBackend:
    """Does work where the rule of `Resources` says; see `gseg.pipeline.jobs.job.Backend`."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        # A trial of large stages holds no GPU itself: nothing that needs one can run in it.
        self._blind = resources.device == "cuda" and not torch.cuda.is_available()

    @property
    def device(self) -> str:
        """Kind of device of every job."""
        return self._resources.device

    def call(self, work: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Do short work, in a Ray task where this process lacks the device."""
        if not self._blind:
            return work()
        # Spread: the default would look for room inside the trial's own reservation.
        task = ray.remote(_call).options(
            num_cpus=_JOB_CPUS,
            num_gpus=self._resources.gpus_per_trial,
            scheduling_strategy="SPREAD",
        )
        facts: Mapping[str, Any] = ray.get(task.remote(work, _surroundings()))
        return facts

    def run(self, job: Job[T], parts: Sequence[int], listen: Listen) -> dict[int, T]:
        """Do parts of a job, on a pool of actors if they are large."""
        if isinstance(job, DrawJob):
            job = cast("Job[T]", replace(job, cores=self._cores()))
        if not parts:
            return {}
        if not self._is_remote(job.seconds(parts), job.device):
            return dict(job.alone(parts, listen))
        found = {}
        for part, result in self._on_pool(job, parts):
            listen(job.size(part))
            found[part] = result
        return found

    def _on_pool(self, job: Job[T], parts: Sequence[int]) -> Iterator[tuple[int, T]]:
        """Do parts on actors; give what comes out as it comes."""
        # An actor costs seconds to start: no more than there is surely work for.
        most = min(len(parts), job.useful(parts), self._actors())
        first = min(self._resources.min_actors or most, most)
        # A block for each part, or Ray Data would give an actor many at once.
        numbers = [{"part": part} for part in parts]
        rows = ray.data.from_items(numbers, override_num_blocks=len(parts)).map_batches(
            _Worker,
            fn_constructor_args=(job, *_surroundings()),
            batch_size=1,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(min_size=first, max_size=most),
            num_cpus=_JOB_CPUS,
            num_gpus=self._resources.gpus_per_trial if job.device != "cpu" else 0.0,
        )
        for row in rows.iter_rows():
            # Pickled: results are scores and counts, which Arrow has no columns for.
            result, error = pickle.loads(row["done"])
            if error is not None:
                raise error
            yield row["part"], result

    def train(self, job: Training, report: Report) -> Mapping[str, Any]:
        """Train, in Ray Train workers if it is large or there are several replicas."""
        if job.replicas == 1 and not self._is_remote(job.seconds(), self.device):
            facts = job.train(report)
            discard(job.folder / _TRAIN_FOLDER)  # of a run elsewhere that was killed
            return facts
        measured = job.folder / MEASUREMENTS
        with following(measured, report):
            facts = self._run_workers(job)
        discard(measured)
        return facts

    def _run_workers(self, job: Training) -> Mapping[str, Any]:
        """Run Ray Train workers, which are started again when they die.

        Gives the facts that the first one left in the job's folder, or raises the fault that one
        left as a ValueError.
        """
        folder, gpus = job.folder, self._resources.gpus_per_trial
        worker = {"CPU": _JOB_CPUS} | ({"GPU": gpus} if gpus else {})
        trainer = _Trainer(
            _replica,
            train_loop_config={"job": job, "surroundings": _surroundings()},
            torch_config=_TorchConfig(),
            scaling_config=ray.train.ScalingConfig(
                num_workers=job.replicas, use_gpu=gpus > 0, resources_per_worker=worker
            ),
            run_config=ray.train.RunConfig(
                name=folder.name,
                storage_path=describe((folder / _TRAIN_FOLDER).absolute()),
                failure_config=ray.train.FailureConfig(max_failures=_WORKER_RESTARTS),
            ),
        )
        fault = folder / _FAULT
        discard(fault)
        # Ray Train wraps the error of a worker; the job's own words are in the file.
        try:
            trainer.fit()
        finally:
            if fetch(fault, again=True):
                told = json.loads(fault.read_bytes())
                raise (ValueError if told["own_fault"] else StorageError)(told["reason"])
        discard(folder / _TRAIN_FOLDER)
        fetch(folder / _FACTS, again=True)
        return dict(json.loads((folder / _FACTS).read_text()))

    def _is_remote(self, seconds: float, device: str) -> bool:
        return (self._blind and device != "cpu") or self._resources.is_large(seconds)

    def _cores(self) -> int | None:
        """Say how many cores there are for each process that shares a GPU; None without GPUs."""
        if not self._resources.gpus_per_trial:
            return None
        # Drawing on a GPU keeps threads of the host busy: who shares the GPU shares the cores.
        available = there_now()
        sharers = available.get("GPU", 1.0) / self._resources.gpus_per_trial
        return max(1, int(available.get("CPU", 1.0) / max(sharers, 1.0)))

    def _actors(self) -> int:
        """Say how many actors work for one trial."""
        return self._resources.actors or self._resources.processes(there_now())


class _TorchConfig(TorchConfig):
    """How replicas find each other: on one's own Ray on the loopback, as all of it."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        return _Backend


class _Backend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:  # noqa: ANN401
        worker_group.execute(_stay_on_the_loopback)
        super().on_start(worker_group, backend_config)


def _stay_on_the_loopback() -> None:
    """Let torch.distributed listen where the node does, if that is the loopback."""
    here: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    if not ip_address(here).is_loopback:
        return
    for name, addresses in psutil.net_if_addrs().items():
        if here in (each.address for each in addresses):
            os.environ.update(GLOO_SOCKET_IFNAME=name, NCCL_SOCKET_IFNAME=name)
    # By itself the store of the first replica listens at all addresses of the machine.
    module: Any = import_module("torch.distributed.rendezvous")  # a function has its name, too
    if not isinstance(module.TCPStore, partial):
        module.TCPStore = partial(_store_here, module.TCPStore)


def _store_here(
    store: Callable[..., Any], host_name: str, port: int, *, is_master: bool, **options: object
) -> object:
    if is_master:
        options["master_listen_fd"] = socket.create_server((host_name, port)).detach()
    return store(host_name, port, is_master=is_master, **options)


def _surroundings() -> tuple[Path | None, Path]:
    """Give what `prepare_process` is told of this process in one that works for it."""
    return weights_folder(), Path.cwd()


def _call(
    work: Callable[[], Mapping[str, Any]], surroundings: tuple[Path | None, Path]
) -> Mapping[str, Any]:
    prepare_process(1, *surroundings)
    return work()


class _Trainer(TorchTrainer):
    """A run of Ray Train that leaves Ctrl-C to the command line: Ray's own would end well."""

    def _register_sigint_handler(self, controller: object) -> None:
        """Set no handler."""


class _Worker:
    """An actor that does one part after the other.

    Args:
        job: Of which.
        weights: See `prepare_process`.
        folder: See there.
    """

    def __init__(self, job: Job[Any], weights: Path | None, folder: Path) -> None:
        prepare_process(1, weights, folder)
        self._job = job
        self._do: Callable[[int, Listen], Any] | None = None

    def __call__(self, batch: pa.Table) -> pa.Table:
        parts = batch["part"].to_pylist()
        done = pa.array([pickle.dumps(self._attempt(part)) for part in parts], pa.large_binary())
        return pa.table({"part": parts, "done": done})

    def _attempt(self, part: int) -> tuple[Any, Exception | None]:
        """Do a part: give what comes out, or what the job says is wrong."""
        try:
            self._do = self._do or self._job.open()
            return self._do(part, lambda units: None), None
        except Exception as error:
            if is_own_fault(error) or isinstance(error, OSError | StorageError):
                return None, error  # as data: Ray would take it for the actor's own
            raise


def _replica(settings: dict[str, Any]) -> None:
    """Run in a Ray Train worker: one replica of a training.

    After a worker or its node died, Ray Train starts all replicas again, and they go on from what
    the training left.
    """
    prepare_process(1, *settings["surroundings"])
    context = ray.train.get_context()
    train_replica(settings["job"], context.get_world_rank(), context.get_world_size())


def train_replica(job: Training, rank: int, world: int) -> None:
    """Train as replica `rank` of `world`, and leave facts or a fault in the job's folder."""
    report = silent if rank else MeasurementFile(job.folder / MEASUREMENTS)
    try:
        facts = job.train(report, rank=rank, wrap=prepare_model if world > 1 else None)
    except ValueError as error:
        # As ASCII: a name in it may be no UTF-8.
        told = {"reason": str(error), "own_fault": is_own_fault(error)}
        write_atomically(job.folder / _FAULT, json.dumps(told).encode())
        if world > 1:
            raise  # the other replicas wait for this one
        return
    if rank == 0:
        write_atomically(job.folder / _FACTS, json.dumps(dict(facts)).encode())

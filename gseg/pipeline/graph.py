"""The graph of stages: what is made from what, found, planned, run and traced in one form.

A node is one thing that a stage makes: what names it, the nodes it is made from, how it is built
and what that takes. To run a trial is to make what is missing of its nodes, parents first; to find
it is to look for all of them; to plan it is to add up the costs of the missing ones; to trace a
result is to walk from parent to parent (`Told`). Equal nodes are the same thing, whoever asks.

A node's name is resolved with the store, not computed from the settings alone: a set of samples
that does not fit into memory takes another name while it is made (`gseg.pipeline.stages.samples`).
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from gseg.exactness import device_identity
from gseg.pipeline.jobs.job import Backend, Job, run_missing
from gseg.pipeline.progress import Report, silent
from gseg.scores.benchmarks import open_benchmark
from gseg.storage.damage import DamagedError, note_damage
from gseg.storage.digests import digest
from gseg.storage.manifests import fetch_about
from gseg.storage.mirror import describe
from gseg.storage.store import Artifact, Cost, Store

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True, kw_only=True)
class Node(ABC, Generic[_T]):
    """One thing that a stage makes; a set of samples gives more than an `Artifact` does.

    Attributes:
        device: Kind of device that it is made on, part of its name; empty where none matters.
    """

    stage: ClassVar[str]
    """Its folder in the storage."""
    word: ClassVar[str] = ""
    """What people call one of its outputs, where its folder has another name."""
    version: ClassVar[int] = 1
    """Raised when the stage's code changes what comes out."""

    device: str = ""

    @abstractmethod
    def config(self, shop: "Workshop") -> Mapping[str, Any]:
        """Give the settings that name it, without the device.

        Raises:
            ValueError: Something that it needs from outside is not there.
        """

    @abstractmethod
    def parents(self, shop: "Workshop") -> Sequence["Node[Any] | str"]:
        """Give what it is made from: nodes, and digests of what stands outside the graph."""

    @abstractmethod
    def cost(self, shop: "Workshop") -> Cost:
        """Estimate what it takes to make what is missing of it."""

    @abstractmethod
    def find(self, shop: "Workshop") -> _T | None:
        """Look for it; None while it is not complete."""

    @abstractmethod
    def make(self, shop: "Workshop") -> _T:
        """Find or make it; its parents have been made."""

    def settings(self, shop: "Workshop") -> Mapping[str, Any]:
        """Give all settings that name it."""
        told = self.config(shop)
        return {**told, "device": device_identity(self.device)} if self.device else told

    def name(self, shop: "Workshop") -> str:
        """Resolve its name in the store."""
        return digest(self.stage, self.version, shop.settings(self), shop.names(self))


@dataclass(frozen=True, kw_only=True)
class Stage(Node[Artifact]):
    """A node that is made at once: its folder is complete or absent."""

    def parents(self, shop: "Workshop") -> Sequence[Node[Any] | str]:
        """Give what it is made from: nothing, unless a stage says otherwise."""
        return ()

    def cost(self, shop: "Workshop") -> Cost:
        """Estimate what it takes: nothing worth to tell, unless a stage says otherwise."""
        return Cost()

    @abstractmethod
    def build(self, folder: Path, shop: "Workshop") -> Mapping[str, Any]:
        """Write files into the folder, atomically or so that unfinished work is taken up.

        Returns:
            Facts for the manifest.
        """

    def find(self, shop: "Workshop") -> Artifact | None:
        """Look for it; None while it is not complete."""
        return shop.store.find(self.stage, shop.name(self))

    def make(self, shop: "Workshop") -> Artifact:
        """Find or make it; its parents have been made."""
        return shop.store.make(
            self.stage,
            version=self.version,
            config=shop.settings(self),
            parents=shop.names(self),
            build=lambda folder: self.build(folder, shop),
            device=self.device or "cpu",
        )


class Workshop:
    """Where nodes are named, looked for and made; remembers what it has seen of each.

    Args:
        store: Where things are or will be.
        backend: Who works; None to look only.
        report: Hears how far the stages are.
        together: Asked, when samples are to be drawn, for sets that will be needed as well.
    """

    def __init__(
        self,
        store: Store,
        backend: Backend | None = None,
        report: Report = silent,
        *,
        together: Callable[[], Iterable[Node[Any]]] = tuple,
    ) -> None:
        self.store, self.report, self.together = store, report, together
        # Each is asked once: some open a benchmark or a folder of pictures.
        self.benchmark = cache(open_benchmark)
        self.parents: Callable[[Node[Any]], Sequence[Node[Any] | str]]
        self.parents = cache(lambda node: node.parents(self))
        self.settings: Callable[[Node[Any]], Mapping[str, Any]]
        self.settings = cache(lambda node: node.settings(self))
        self._backend = backend
        # Two memories: a name is known before its node is made, and may be another afterwards.
        self._names: dict[Node[Any], str] = {}
        self._known: dict[Node[Any], Any] = {}

    @property
    def backend(self) -> Backend:
        """Who works."""
        assert self._backend is not None
        return self._backend

    def name(self, node: Node[Any]) -> str:
        """Resolve a node's name."""
        if node not in self._names:
            self._names[node] = node.name(self)
        return self._names[node]

    def names(self, node: Node[Any]) -> list[str]:
        """Resolve the names of a node's parents."""
        return [each if isinstance(each, str) else self.name(each) for each in self.parents(node)]

    def rename(self, node: Node[Any]) -> None:
        """Forget a node's name, as it may have become another.

        Names that follow from it are not forgotten: they are asked for after it has been made.
        """
        self._names.pop(node, None)

    @property
    def report_here(self) -> Report:
        """A report for work that may travel: in another process it hears nothing."""
        return _Here(self.report)

    def run(self, job: Job[_R], total: int, word: str) -> dict[int, _R]:
        """Do the parts of a job that are missing, and give what came out of each.

        Args:
            job: The job.
            total: Its units, those that are there included.
            word: What the report is told that it is.
        """
        return run_missing(job, total, self.backend, partial(self.report, word))

    def folder(self, node: Node[Any]) -> Path:
        """Say where a node's files are or will be."""
        return self.store.folder(node.stage, self.name(node))

    def find(self, node: Node[_T]) -> _T | None:
        """Look for a node; None while it is not complete."""
        # What is found stays found; what is missing may have come since, so it is looked for again.
        found: _T | None = self._known.get(node)
        if found is None and (found := node.find(self)) is not None:
            self._known[node] = found
        return found

    def make(self, node: Node[_T]) -> _T:
        """Find or make a node, and before it what it is made from."""
        if node not in self._known:
            for each in self.walk(node):
                # Parents come first: a node may ask for them in `make` without a deep recursion.
                if each not in self._known:
                    self._known[each] = each.make(self)
        made: _T = self._known[node]
        return made

    def walk(self, *targets: Node[Any] | None) -> Iterator[Node[Any]]:
        """Go through nodes and all that they are made from, parents first, each once."""
        # Equal nodes are the same thing, however often the graph names them.
        seen: set[Node[Any]] = set()

        def visit(*nodes: Node[Any] | str | None) -> Iterator[Node[Any]]:
            for node in nodes:
                if isinstance(node, Node) and node not in seen:
                    seen.add(node)
                    yield from visit(*self.parents(node))
                    yield node

        return visit(*targets)

    def has_all(self, *targets: Node[Any] | None) -> bool:
        """Say whether nodes and all that they are made from are complete."""
        return all(self.find(node) is not None for node in self.walk(*targets))


class _Here:
    """A report that stays behind when it is sent to another process."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def __call__(self, stage: str, done: int, total: int, detail: str = "") -> None:
        self._report(stage, done, total, detail)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Here, (silent,)


def read_about(file: Path) -> Mapping[str, Any]:
    """Read what a set of samples says of itself, in a file from `fetch_about`.

    Raises:
        DamagedError: That is not this set.
    """
    folder = file.parent
    try:
        about: Mapping[str, Any] = json.loads(file.read_text())
        # Sets have had one version, and do not say it.
        named = digest(folder.parent.name, Node.version, about["config"], about["parents"])
    except (ValueError, TypeError, KeyError):  # whatever it holds
        named = ""
    if named != folder.name:
        raise DamagedError(f"{describe(file)} is damaged, or belongs to other samples.")
    return about


@dataclass(frozen=True, kw_only=True)
class Told:
    """What something in the storage says of itself, to be walked from parent to parent.

    Attributes:
        store: Where it is.
        stage: Its stage.
        folder: Where its files are.
        about: Its config, the names of its parents, and more.
    """

    store: Store
    stage: str
    folder: Path
    about: Mapping[str, Any]

    @classmethod
    def of(cls, store: Store, name: str, *stages: str) -> "Told":
        """Look for a name among those of some stages.

        Raises:
            FileNotFoundError: The storage lacks it, or holds it damaged, which is noted.
            StorageError: The object store does not answer.
        """
        for stage in stages:
            folder = store.folder(stage, name)
            # Growing sets of samples first: they have no manifest for `find` to see.
            if file := fetch_about(folder):
                try:
                    about = read_about(file)
                except DamagedError as error:
                    note_damage(file, error)
                    continue
                return cls(store=store, stage=stage, folder=folder, about=about)
            found = store.find(stage, name)
            if found is not None:
                return cls(store=store, stage=stage, folder=folder, about=found.manifest)
        raise FileNotFoundError(f"No {' or '.join(stages)} {name} in the storage.")

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings that name it."""
        config: Mapping[str, Any] = self.about["config"]
        return config

    def parent(self, *stages: str) -> "Told":
        """Walk to the first parent that one of some stages made.

        Raises:
            FileNotFoundError: The storage lacks it, or holds it damaged, which is noted.
            StorageError: The object store does not answer.
        """
        # A parent's name does not say its stage: try each with those that are asked for.
        for name in self.about["parents"]:
            try:
                return Told.of(self.store, name, *stages)
            except FileNotFoundError:
                continue
        raise FileNotFoundError(f"{self.folder} has no {' or '.join(stages)} in the storage.")

"""What small trials leave in an empty storage: where, and with which content.

Files are compared by what they hold and not by their bytes, where these name the library that
wrote them (Parquet) or its order (safetensors). Times, memory, versions and whether something was
found are left out. Each file has two digests: of what is the same on every machine (the settings
in manifests), and of numbers that come out of floating-point kernels, which may differ between
CPUs and versions of PyTorch (`machine`).

What is called here is `run_trial`, `EmbeddingsNode` and `LocalBackend`, and nothing is replaced.
"""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pinned
import pyarrow.parquet as pq
import safetensors
import scipy
import torch

from gseg.directions.config import (
    AffineConfig,
    CandidateConfig,
    ChoiceConfig,
    LearntConfig,
    SearchConfig,
)
from gseg.generators.encoders import choose_encoder
from gseg.pipeline.experiment import Context, DistanceConfig, Experiment, LabelledPairs
from gseg.pipeline.graph import Workshop
from gseg.pipeline.jobs.job import LocalBackend
from gseg.pipeline.jobs.pictures import PictureSet
from gseg.pipeline.stages.pictures import EmbeddingsNode
from gseg.pipeline.trial import run_trial
from gseg.samples.config import FilterConfig, LatentConfig, SampleConfig, filter_preset
from gseg.samples.labeller import labeller
from gseg.samples.latents import near_embeddings
from gseg.segmenters.config import FitConfig
from gseg.storage.store import Store

_SAMPLES = SampleConfig(batch=16, blocks_per_shard=1, filters=filter_preset("none"))
_TRAINING = FitConfig(steps=4, batch=8, decay_at=2, width=4, depth=2, validate_every=2)
_OPTIMISED = Experiment(
    generator="ggan.scenes32",
    search=SearchConfig(steps=3, batch=4),
    samples=_SAMPLES,
    data_size=24,
    validation_size=8,
    training=_TRAINING,
)
_CHOICE = ChoiceConfig(
    candidates=CandidateConfig(kind="random", count=3),
    epsilon=1.0,
    affine=AffineConfig(steps=3),
    pictures=4,
)
_CANDIDATES = (
    CandidateConfig(kind="learnt", count=4, learnt=LearntConfig(steps=3, batch=4)),
    CandidateConfig(kind="pca", count=3, samples=32),
    CandidateConfig(kind="closed_form", count=3),
)
_UNNAMED = {"seconds", "created", "versions", "files", "checksum"}
_UNNUMBERED = {"peak_memory_mib", "candidates_seconds"}
_RUN = {"commit", "finished"}
_RUN_ENDS = ("_seconds", "_reused", "_version", "_mib")
_LEFT_OUT = {"lease.json"}
_NO_FOLDERS = {"builds"}


def trials() -> dict[str, Experiment]:
    """Make trials that together go through all stages and kinds."""
    chosen = replace(_OPTIMISED, search=_CHOICE)
    found = {
        "optimised": replace(_OPTIMISED, distance=DistanceConfig(count=20)),
        **{
            kind: replace(_OPTIMISED, mask_kind=kind)
            for kind in ("darker", "both", "ensemble", "mean", "affine", "affine_each")
        },
        "filtered": _sampled(epsilon=2.0, filters=FilterConfig(), seed=3),
        "rgb norm": _sampled(mask_rule="rgb_norm", seed=4),
        "truncated": _sampled(latents=LatentConfig(truncation=0.7)),
        "adapted": _sampled(latents=near_embeddings("embeddings.npy", alpha=0.2)),
        "classes": replace(
            _sampled(latents=LatentConfig(classes=(1, 4), class_weights=(1.0, 3.0))),
            generator="biggan.scenes32",
        ),
        "closed form": replace(_OPTIMISED, generator="analytic.ellipses16"),
        "texts": replace(
            _OPTIMISED,
            search=SearchConfig(objective="melas2022_program", epsilon_std=0.5, steps=3, batch=4),
        ),
        "chosen": chosen,
        "by ratio": replace(chosen, search=replace(_CHOICE, rule="affine_ratio")),
        **{
            each.kind: replace(chosen, search=replace(_CHOICE, candidates=each))
            for each in _CANDIDATES
        },
        "nearest": replace(_OPTIMISED, data_size=10, selection=pinned.nearest_pictures(24)),
        "labeller": replace(_OPTIMISED, labeller=labeller("labeller.py:bright")),
        "labelled": replace(_OPTIMISED, labelled=replace(_labelled(), weight=0.25)),
        "shrunk": replace(_OPTIMISED, train_resolution=16),
    }
    plain = Experiment(method="true_masks", training=_TRAINING, data_size=20, validation_size=8)
    return found | {
        "true masks": plain,
        "labelled alone": replace(plain, data_size=0, validation_size=2, labelled=_labelled()),
        "otsu": Experiment(method="otsu"),
        "centre disc": Experiment(method="centre_disc"),
    }


def _sampled(**changes: Any) -> Experiment:
    return replace(_OPTIMISED, samples=replace(_SAMPLES, **changes))


def _labelled() -> LabelledPairs:
    return pinned.labelled_pictures(8)


def left_behind(storage: Path) -> dict[str, Any]:
    """Run all trials in an empty storage; the inputs have to be in the working directory.

    Returns:
        ``machine``; ``files``: by path (with the digests of the stages) content that is the same
        everywhere, content that is the machine's, and which trial made it first; ``rows`` of each
        trial.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        files, rows = _run(storage)
    finally:
        torch.set_num_threads(threads)
    return {"machine": machine(), "files": files, "rows": rows}


def _run(storage: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    setting = Context(storage=storage, benchmarks=("scenes:10", "folder:scored"))
    files: dict[str, Any] = {}
    rows: dict[str, Any] = {}
    _embed(storage)
    _look(storage, "embeddings", files)
    for name, experiment in trials().items():
        made = run_trial(replace(experiment, recipe="pinned"), setting, LocalBackend())
        rows[name] = [_row(each) for each in made]
        _look(storage, name, files)
    return files, rows


def _embed(storage: Path) -> None:
    pictures = PictureSet(folder=Path("pictures/images"), resolution=32)
    encoder = choose_encoder("bigbigan.scenes32-large", sampled=True)
    node = EmbeddingsNode(pictures=pictures, encoder=encoder, device="cpu")
    Workshop(Store(storage), LocalBackend()).make(node)


def _look(storage: Path, trial: str, files: dict[str, Any]) -> None:
    """Take in the files that are new."""
    for path in sorted(storage.rglob("*")):
        place = path.relative_to(storage)
        kept = path.name not in _LEFT_OUT and path.suffix != ".cost" and path.is_file()
        if kept and place.parts[0] not in _NO_FOLDERS and str(place) not in files:
            files[str(place)] = [*_content(path), trial]


def _content(path: Path) -> tuple[str | None, str]:
    """Digest what a file holds: what is the same everywhere, and all of it."""
    if path.suffix == ".json":
        return _settings(json.loads(path.read_text()), named=path.name)
    if path.suffix == ".parquet":
        return None, _hash(_table(path))
    if path.suffix == ".safetensors":
        return None, _hash(_tensors(path))
    if path.suffix in (".npy", ".npz"):
        return None, _hash(_arrays(path))
    return None, hashlib.sha256(path.read_bytes()).hexdigest()[:20]


def _settings(content: dict[str, Any], named: str) -> tuple[str | None, str]:
    content = {key: value for key, value in content.items() if key not in _UNNAMED}
    if named == "manifest.json":
        facts = content.pop("facts")
        facts = {key: value for key, value in facts.items() if key not in _UNNUMBERED}
        return _hash(content), _hash(facts)
    content.pop("embeddings", None)  # where their file lay, which names nothing
    return (_hash(content) if named == "_about.json" else None), _hash(content)


def _table(path: Path) -> list[Any]:
    table = pq.read_table(path)
    metadata = {
        key.decode(): value.decode()
        for key, value in (table.schema.metadata or {}).items()
        if key != b"pandas"  # names its version
    }
    columns = [
        [field.name, str(field.type), repr(table[field.name].to_pylist())] for field in table.schema
    ]
    return [metadata, columns]


def _tensors(path: Path) -> list[Any]:
    with safetensors.safe_open(path, "np") as file:
        found = {name: _array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
        return [file.metadata(), found]


def _arrays(path: Path) -> Any:
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return _array(loaded)
    with loaded:
        return {name: _array(loaded[name]) for name in loaded.files}


def _array(values: np.ndarray) -> list[Any]:
    return [str(values.dtype), list(values.shape), values.tobytes().hex()]


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what differs from run to run, and empty columns."""
    return {
        key: value
        for key, value in row.items()
        if not key.endswith(_RUN_ENDS) and key not in _RUN and value is not None
    }


def _hash(content: object) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def machine() -> dict[str, str]:
    """Say what the bits of floating-point results may depend on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    about = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    about = {key.strip(): value.strip() for key, value in about.items()}
    kinds: Sequence[str] = ("avx", "amx", "fma", "sse4")
    flags = [flag for flag in about.get("flags", "").split() if flag.startswith(tuple(kinds))]
    return {
        "architecture": platform.machine(),
        "vendor": about.get("vendor_id", ""),
        "flags": " ".join(sorted(flags)),
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }

"""Train an embedded generator: ``python -m gseg.pretraining.train NAME``.

An interrupted command continues where it was when it is given again. What is trained, and how,
is in `gseg.pretraining.recipes`; the weights that ship with the package were made by this command.
"""

import argparse
import copy
import json
import math
import platform
import sys
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import torch
from rich.progress import Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors.torch import save_file
from torch import nn

from gseg.generators.cards import embedded_card
from gseg.generators.contract import Generator
from gseg.generators.encoders import ENCODER_SUFFIX
from gseg.images import contact_sheet
from gseg.interruptions import INTERRUPTED, Interruption
from gseg.pipeline.jobs.job import require_device
from gseg.pretraining.recipes import RECIPES, Recipe
from gseg.pretraining.training import (
    ENCODER_STEPS,
    EncoderTraining,
    Training,
    half_weights,
    start_training,
)
from gseg.randomness import latents
from gseg.scenes.pictures import Scenes, render
from gseg.scenes.versions import SCENES_NAME
from gseg.scores.fid import REFERENCE_PICTURES, scenes_distance
from gseg.storage.digests import digest
from gseg.storage.files import replacing

# Training scenes: the indices from 0.
PICTURES: Final = 50_000
# Pictures that the Fréchet distance in the record is of.
MEASURED: Final = REFERENCE_PICTURES
_SAVE_EVERY: Final = 250
_TILES: Final = 64


@dataclass(kw_only=True, slots=True)
class _Run:
    """A training with its files."""

    name: str
    recipe: Recipe
    seed: int
    folder: Path
    training: Training
    seconds: float = 0.0

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def restore(self) -> None:
        """Continue from the checkpoint, if there is one."""
        if not self.checkpoint.exists():
            return
        saved = torch.load(self.checkpoint, map_location=self.training.device, weights_only=True)
        if saved.get("identity") != self._identity():
            raise ValueError(
                f"{self.checkpoint} belongs to a training of another recipe, seed or data set; "
                "choose another --out or delete it."
            )
        self.training.restore(saved["training"])
        self.seconds = saved["seconds"]

    def save(self) -> None:
        """Write the checkpoint, whole or not at all, and a picture of where it stands."""
        state, identity = self.training.state(), self._identity()
        with replacing(self.checkpoint) as part:
            torch.save({"training": state, "seconds": self.seconds, "identity": identity}, part)
        _sample_sheet(self.training.average, self.recipe, self.folder / "sheet.png")

    def export(self) -> Path:
        """Write the weights of the end, and those of an encoder."""
        if isinstance(self.training, EncoderTraining) and self.recipe.encoder is not None:
            encoder = half_weights(self.training.export_encoder(ENCODER_STEPS))
            numbers = {"config": json.dumps(asdict(self.recipe.encoder))}
            save_file(encoder, self.folder / f"{self.name}{ENCODER_SUFFIX}", metadata=numbers)
        return self.write(self.name)

    def write(self, name: str, **more: object) -> Path:
        """Write the weights of now with how they came about, and more facts."""
        network = self.training.export()
        facts = {
            "command": f"python -m gseg.pretraining.train {self.name} --seed {self.seed}",
            "iterations": self.training.iteration,
            "batch": self.recipe.batch,
            "seed": self.seed,
            "pictures": PICTURES,
            "seconds": round(self.seconds),
            "device": self.training.device.type,
            "hardware": _hardware(self.training.device),
            "date": datetime.now(UTC).date().isoformat(),
            **_measured_distance(network, name, self.recipe),
            **more,
        }
        return save_weights(network, name, self.recipe, facts, self.folder)

    def _identity(self) -> str:
        return digest(SCENES_NAME, self.recipe, self.seed)


def train(name: str, recipe: Recipe, *, seed: int, device: torch.device, folder: Path) -> Path:
    """Train a generator, continuing from the folder's checkpoint if there is one.

    Args:
        name: Catalogue name, for the files.
        recipe: What to train.
        seed: Seed of the training.
        device: Where to train.
        folder: Receives ``checkpoint.pt``, ``sheet.png`` and the weights, those of snapshots and
            of an encoder too.

    Returns:
        The path of the weights.

    Raises:
        ValueError: The checkpoint is of another recipe, seed or data set.
    """
    folder.mkdir(parents=True, exist_ok=True)
    training = start_training(recipe, seed, device)
    run = _Run(name=name, recipe=recipe, seed=seed, folder=folder, training=training)
    run.restore()
    if training.iteration < recipe.iterations:
        _finish(run, render(range(PICTURES)))
    return run.export()


def _finish(run: _Run, scenes: Scenes) -> None:
    """Make the iterations that are left."""
    training, last = run.training, run.recipe.iterations
    started = time.monotonic() - run.seconds
    usual, note = Progress.get_default_columns()[:3], TextColumn("{task.fields[note]}")
    columns = (*usual, TimeElapsedColumn(), TimeRemainingColumn(), note)
    with Progress(*columns, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(run.name, total=last, completed=training.iteration, note="")
        while training.iteration < last:
            judged, fooled = training.step(scenes)
            now = training.iteration
            # Before the next checkpoint is written, so that the last good one stays.
            if not math.isfinite(judged + fooled):
                raise ValueError(
                    f"The losses of {run.name} are not finite at iteration {now}: the checkpoint "
                    "before is kept; try another --seed."
                )
            progress.update(task, completed=now, note=f"loss D {judged:.2f}  G {fooled:.2f}")
            run.seconds = time.monotonic() - started
            if now in run.recipe.snapshots:
                run.write(f"{run.name}-{now}", snapshot_of=run.name)
            if now % _SAVE_EVERY == 0 or now == last:
                run.save()


def save_weights(
    network: nn.Module, name: str, recipe: Recipe, facts: dict[str, Any], folder: Path
) -> Path:
    """Write the weights as float16 safetensors, with what is needed to rebuild the network.

    Args:
        network: From `Training.export`.
        name: Catalogue name.
        recipe: Its recipe.
        facts: How the training went; goes into the metadata and into a JSON file beside it.
        folder: Where to.

    Returns:
        The path of the safetensors file.
    """
    header = _header(recipe, facts)
    path = folder / f"{name}.safetensors"
    save_file(half_weights(network), path, metadata=header)
    # A header's values are texts; in the file for readers they are what those say.
    read = {key: json.loads(header[key]) for key in ("config", "card")}
    text = json.dumps({"name": name, **header, **read}, indent=1)
    path.with_suffix(".json").write_text(text + "\n")
    return path


def _header(recipe: Recipe, facts: dict[str, Any]) -> dict[str, str]:
    """Make the metadata that `gseg.generators.cards.embedded_card` reads."""
    said = {"family": recipe.family, "paper": recipe.paper, "supervision": recipe.supervision}
    texts = {"config": json.dumps(asdict(recipe.network)), "card": json.dumps({**said, **facts})}
    return {"architecture": recipe.network.architecture, **texts}


def _measured_distance(network: nn.Module, name: str, recipe: Recipe) -> dict[str, Any]:
    """Measure the Fréchet distance to the training scenes, of the weights as they are saved."""
    # A copy: the training goes on with the weights that were not rounded.
    rounded = copy.deepcopy(network).half().float()
    card = embedded_card(name, _header(recipe, {}))
    distance = scenes_distance(Generator(rounded, card), MEASURED)
    return {"fid": round(distance.value, 4), "fid_protocol": distance.protocol}


@torch.no_grad()
def _sample_sheet(network: nn.Module, recipe: Recipe, path: Path) -> None:
    """Draw 64 pictures of fixed latents; the columns of a conditional generator are classes."""
    z = latents(0, range(_TILES), recipe.network.latent_dim)
    y = torch.arange(_TILES) % max(recipe.network.num_classes, 1)
    device, mode = next(network.parameters()).device, network.training
    network.eval()
    pictures = network(z.to(device), y.to(device)).float().cpu()
    network.train(mode)
    rows = [list(row) for row in pictures.split(16)]
    contact_sheet(rows, tile=64).save(path)


def _hardware(device: torch.device) -> str:
    """Name the processor that trained."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"one core of {platform.processor() or platform.machine()}"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m gseg.pretraining.train",
        description="Train one of the small generators that ship with gseg. On one CPU core an "
        "iteration takes 0.14 to 0.3 s: 7 to 20 minutes for a generator.",
    )
    parser.add_argument("name", choices=sorted(RECIPES), metavar="NAME", help=", ".join(RECIPES))
    parser.add_argument("--iterations", type=int, help="updates of the generator")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--out", type=Path, default=Path("scenes_training"), metavar="DIR")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    recipe = RECIPES[options.name]
    if options.iterations is not None:
        recipe = replace(recipe, iterations=options.iterations)
    device, folder = torch.device(options.device), options.out / options.name
    try:
        require_device(options.device)
        with Interruption(parser.prog, ends_process=arguments is None):
            path = train(options.name, recipe, seed=options.seed, device=device, folder=folder)
            print(f"weights: {path}\npictures: {path.parent / 'sheet.png'}")
            return 0
    except ValueError as error:
        parser.error(str(error))
    return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())

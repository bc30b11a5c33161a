"""Train an embedded generator: ``python -m gseg.scenes.train NAME``.

Hinge loss, one discriminator update for each generator update, Adam (0, 0.99), rates decaying to
zero over the last 35 % of the iterations, and a moving average of the generator's weights, which
is what gets exported. Every random draw is a function of (seed, iteration), so a training that
was interrupted continues from its checkpoint as if nothing had happened.
"""

import argparse
import copy
import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from rich.progress import Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from gseg.artifacts import digest
from gseg.generators.big_resnet import BigResNetConfig, BigResNetGenerator
from gseg.generators.resnet import ResNetConfig, ResNetGenerator
from gseg.generators.self_conditioned import SelfConditionedConfig, SelfConditionedGenerator
from gseg.images import contact_sheet, from_uint8
from gseg.randomness import derive_seed, labels, latents, training_order, uniforms
from gseg.scenes.discriminator import Discriminator
from gseg.scenes.pictures import CLASS_NAMES, SCENES_NAME, Scenes, render
from gseg.scenes.recipes import RECIPES, NetworkConfig, Recipe

PICTURES: Final = 50_000
"""Training scenes: the indices from 0."""
_AVERAGE: Final = 0.999
_DECAYED_SHARE: Final = 0.35
_SAVE_EVERY: Final = 250


def build_network(config: NetworkConfig) -> nn.Module:
    """Build the untrained network of a configuration."""
    if isinstance(config, ResNetConfig):
        return ResNetGenerator(config)
    if isinstance(config, BigResNetConfig):
        return BigResNetGenerator(config)
    return SelfConditionedGenerator(config)


def architecture_name(config: NetworkConfig) -> str:
    """Name the module that builds a configuration."""
    names = {
        ResNetConfig: "resnet",
        BigResNetConfig: "big_resnet",
        SelfConditionedConfig: "self_conditioned",
    }
    return names[type(config)]


class Training:
    """A training in progress: networks, optimisers and the iteration they have reached.

    Args:
        recipe: What to train.
        seed: Seed of initialisation, order and latents.
        device: Where to train.
    """

    def __init__(self, recipe: Recipe, seed: int, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        self.seed = derive_seed(seed, "gan")
        self.iteration = 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            generator = build_network(recipe.network)
            discriminator = Discriminator(len(CLASS_NAMES), recipe.conditioning)
            if recipe.spectral_norm:
                _normalise(generator)  # draws the vectors that its power iterations start from
        layout = torch.channels_last
        self.generator = generator.to(device, memory_format=layout)  # type: ignore[call-overload]
        self.discriminator = discriminator.to(device, memory_format=layout)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.generator)
        self.generator_optimiser = torch.optim.Adam(
            self.generator.parameters(), recipe.generator_rate, betas=(0.0, 0.99)
        )
        self.discriminator_optimiser = torch.optim.Adam(
            self.discriminator.parameters(), recipe.discriminator_rate, betas=(0.0, 0.99)
        )

    def step(self, scenes: Scenes) -> tuple[float, float]:
        """Update both networks once.

        Args:
            scenes: The whole training set.

        Returns:
            Discriminator and generator loss.
        """
        self._set_rates()
        real, real_labels = self._real_batch(scenes)
        with torch.autocast(self.device.type, torch.bfloat16):
            with torch.no_grad():
                fake, fake_labels = self._fake_batch("discriminator")
            real_logit, real_extra = self.discriminator(real, real_labels)
            fake_logit, _ = self.discriminator(fake, fake_labels)
            judged = F.relu(1 - real_logit).mean() + F.relu(1 + fake_logit).mean() + real_extra
        self.discriminator_optimiser.zero_grad()
        judged.backward()
        self.discriminator_optimiser.step()

        self.discriminator.requires_grad_(False)
        with torch.autocast(self.device.type, torch.bfloat16):
            fake, fake_labels = self._fake_batch("generator")
            logit, extra = self.discriminator(fake, fake_labels)
            fooled = extra - logit.mean()
        self.generator_optimiser.zero_grad()
        fooled.backward()
        self.generator_optimiser.step()
        self.discriminator.requires_grad_(True)
        self._update_average()
        self.iteration += 1
        return judged.item(), fooled.item()

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs."""
        return {
            "iteration": self.iteration,
            **{name: part.state_dict() for name, part in self._parts().items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.iteration = state["iteration"]
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def export(self) -> nn.Module:
        """Give the averaged generator with spectral normalisation folded into plain weights."""
        network: nn.Module = copy.deepcopy(self.average).cpu()
        weights = {k: v for k, v in network.state_dict().items() if ".parametrizations." not in k}
        for name, module in network.named_modules():
            if parametrize.is_parametrized(module, "weight"):
                module.train()
                for _ in range(20):  # power iterations: settle u and v for the averaged weights
                    _ = module.weight
                module.eval()
                weights[f"{name}.weight"] = module.weight.detach()
        # A network of its own: a copy shares the classes that parametrisation made, and taking
        # the parametrisation off the copy would take it off the network in training too.
        with torch.device("meta"):
            plain = build_network(self.recipe.network)
        plain.load_state_dict(weights, assign=True)
        return plain.requires_grad_(False).eval()

    def _parts(self) -> dict[str, Any]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
            "generator_optimiser": self.generator_optimiser,
            "discriminator_optimiser": self.discriminator_optimiser,
        }

    def _set_rates(self) -> None:
        left = 1 - self.iteration / self.recipe.iterations
        factor = min(1.0, left / _DECAYED_SHARE)
        for optimiser, rate in (
            (self.generator_optimiser, self.recipe.generator_rate),
            (self.discriminator_optimiser, self.recipe.discriminator_rate),
        ):
            for group in optimiser.param_groups:
                group["lr"] = rate * factor

    def _real_batch(self, scenes: Scenes) -> tuple[Tensor, Tensor]:
        batch = self.recipe.batch
        chosen = torch.from_numpy(
            training_order(self.seed, self.iteration, batch, len(scenes.labels))
        )
        coins = uniforms(derive_seed(self.seed, "flip"), [self.iteration], batch)[0]
        flipped = torch.from_numpy(coins < 0.5)[:, None, None, None]
        pictures = from_uint8(scenes.pictures[chosen])
        pictures = torch.where(flipped, pictures.flip(3), pictures)
        return pictures.to(self.device), scenes.labels[chosen].to(self.device)

    def _fake_batch(self, purpose: str) -> tuple[Tensor, Tensor]:
        batch = self.recipe.batch
        seed = derive_seed(self.seed, purpose)
        rows = range(self.iteration * batch, (self.iteration + 1) * batch)
        z = latents(seed, rows, self.recipe.network.latent_dim).to(self.device)
        y = labels(seed, rows, len(CLASS_NAMES))
        assert y is not None
        y = y.to(self.device)
        return self.generator(z, y), y

    @torch.no_grad()
    def _update_average(self) -> None:
        keep = min(_AVERAGE, (1 + self.iteration) / (10 + self.iteration))
        torch._foreach_lerp_(
            list(self.average.parameters()), list(self.generator.parameters()), 1 - keep
        )
        for mine, theirs in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(theirs, 1 - min(keep, 0.99))


def _normalise(network: nn.Module) -> None:
    """Put spectral normalisation on every layer but the shared class embedding."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding) and "shared" not in name:
            spectral_norm(module, eps=1e-6)


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
    tensors = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in network.state_dict().items()
    }
    card = {
        "family": recipe.family,
        "paper": recipe.paper,
        "supervision": recipe.supervision,
        **facts,
    }
    metadata = {
        "architecture": architecture_name(recipe.network),
        "config": json.dumps(asdict(recipe.network)),
        "card": json.dumps(card),
    }
    path = folder / f"{name}.safetensors"
    save_file(tensors, path, metadata=metadata)
    text = json.dumps(
        {"name": name, **metadata, "config": asdict(recipe.network), "card": card}, indent=1
    )
    path.with_suffix(".json").write_text(text + "\n")
    return path


@torch.no_grad()
def sample_sheet(network: nn.Module, config: NetworkConfig, path: Path) -> None:
    """Draw 64 pictures of fixed latents; the columns of a conditional generator are classes."""
    z = latents(0, range(64), config.latent_dim)
    y = torch.arange(64) % len(CLASS_NAMES)
    device = next(network.parameters()).device
    mode = network.training
    network.eval()
    pictures = network(z.to(device), y.to(device)).float().cpu()
    network.train(mode)
    contact_sheet([list(pictures[row * 16 : (row + 1) * 16]) for row in range(4)], tile=64).save(
        path
    )


def train(name: str, recipe: Recipe, *, seed: int, device: torch.device, folder: Path) -> Path:
    """Train a generator, continuing from the folder's checkpoint if there is one.

    Args:
        name: Catalogue name, for the files.
        recipe: What to train.
        seed: Seed of the training.
        device: Where to train.
        folder: Receives ``checkpoint.pt``, ``sheet.png`` and the weights.

    Returns:
        The path of the weights.

    Raises:
        ValueError: The checkpoint is of another recipe, seed or data set.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint.pt"
    training = Training(recipe, seed, device)
    identity = digest(SCENES_NAME, recipe, seed)
    seconds = 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location=device, weights_only=True)
        if saved.get("identity") != identity:
            raise ValueError(
                f"{checkpoint} belongs to a training of another recipe, seed or data set; choose "
                "another --out or delete it."
            )
        training.restore(saved["training"])
        seconds = saved["seconds"]
    scenes = render(range(PICTURES))
    losses = (0.0, 0.0)
    with _progress() as progress:
        task = progress.add_task(
            name, total=recipe.iterations, completed=training.iteration, note=""
        )
        started = time.monotonic() - seconds
        while training.iteration < recipe.iterations:
            losses = training.step(scenes)
            progress.update(
                task,
                completed=training.iteration,
                note=f"loss D {losses[0]:.2f}  G {losses[1]:.2f}",
            )
            if training.iteration % _SAVE_EVERY == 0 or training.iteration == recipe.iterations:
                seconds = time.monotonic() - started
                part = checkpoint.with_suffix(".part")
                saved = {"training": training.state(), "seconds": seconds, "identity": identity}
                torch.save(saved, part)
                part.replace(checkpoint)
                sample_sheet(training.average, recipe.network, folder / "sheet.png")
    facts = {
        "iterations": recipe.iterations,
        "batch": recipe.batch,
        "seed": seed,
        "pictures": PICTURES,
        "seconds": round(seconds),
        "device": device.type,
    }
    return save_weights(training.export(), name, recipe, facts, folder)


def _progress() -> Progress:
    return Progress(
        *Progress.get_default_columns()[:3],
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        disable=not sys.stderr.isatty(),
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m gseg.scenes.train",
        description="Train one of the small generators that ship with gseg. On one CPU core an "
        "iteration takes 0.13 to 0.2 s: 10 to 20 minutes for a generator.",
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
        path = train(options.name, recipe, seed=options.seed, device=device, folder=folder)
    except ValueError as error:
        parser.error(str(error))
    print(f"weights: {path}\npictures: {path.parent / 'sheet.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

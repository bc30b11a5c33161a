"""Trainings whose signal is more than a label: clusters of features, and an encoder."""

import copy
from dataclasses import replace
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gseg.generators.encoders import EncoderNetwork
from gseg.pretraining.clusters import cluster
from gseg.pretraining.discriminator import Discriminator, JointDiscriminator
from gseg.pretraining.recipes import Recipe
from gseg.pretraining.training import Training
from gseg.randomness import derive_seed, latents, training_order
from gseg.scenes.pictures import Scenes

ENCODER_STEPS: Final = 2_000
_CLUSTER_EVERY: Final = 500
_ENCODER_RATE: Final = 1e-3


def start_training(recipe: Recipe, seed: int, device: torch.device) -> Training:
    """Build the training that a recipe asks for, at iteration 0.

    Args:
        recipe: What to train.
        seed: Seed of initialisation, order and latents.
        device: Where to train.
    """
    kinds = {"encoder": EncoderTraining, "clusters": ClusterTraining}
    return kinds.get(recipe.signal, Training)(recipe, seed, device)


class ClusterTraining(Training):
    """SelfCondGAN: clusters of the discriminator's features are the classes (Liu et al. 2020).

    Generated pictures take the clusters of real ones, so both have the same distribution.
    """

    clusters: Tensor | None = None

    def step(self, scenes: Scenes) -> tuple[float, float]:
        """Renew the clusters where it is time, and update all networks once."""
        if self.iteration % _CLUSTER_EVERY == 0:
            assert isinstance(self.discriminator, Discriminator)
            seed = derive_seed(self.seed, "clusters")
            self.clusters = cluster(
                self.discriminator,
                scenes.pictures,
                self.clusters,
                self.recipe.label_count,
                seed=seed,
            )
        assert self.clusters is not None
        return super().step(replace(scenes, labels=self.clusters))

    def fake_labels(self, purpose: str) -> Tensor:
        """Take the clusters of real pictures drawn for this purpose."""
        assert self.clusters is not None
        seed, batch = derive_seed(self.seed, purpose), self.recipe.batch
        chosen = training_order(seed, self.iteration, batch, len(self.clusters))
        return self.clusters[torch.from_numpy(chosen)].to(self.device)

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs."""
        return {**super().state(), "clusters": self.clusters}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        super().restore(state)
        clusters = state["clusters"]
        self.clusters = None if clusters is None else clusters.cpu()


class EncoderTraining(Training):
    """BigBiGAN: an encoder and a joint discriminator (Donahue and Simonyan 2019, section 2)."""

    def build_opponents(self) -> None:
        """Build the joint discriminator and the encoder."""
        assert self.recipe.encoder is not None
        self.discriminator = self.place(JointDiscriminator(self.recipe.network.latent_dim))
        self.encoder = self.place(EncoderNetwork(self.recipe.encoder))
        self.encoder_average = copy.deepcopy(self.encoder)

    def players(self) -> list[tuple[nn.Module, nn.Module]]:
        """Pair generator and encoder with their moving averages."""
        return [*super().players(), (self.encoder, self.encoder_average)]

    def parts(self) -> dict[str, Any]:
        """Name everything that has a state."""
        more = {"encoder": self.encoder, "encoder_average": self.encoder_average}
        return {**super().parts(), **more}

    def discriminator_loss(self, real: Tensor, real_labels: Tensor) -> Tensor:
        """Hinge loss on each of the three scores."""
        with torch.no_grad():
            z = self.noise("discriminator")
            fake, found = self.generator(z), self._encode(real, "discriminator")
        real_scores, fake_scores = self.discriminator(real, found), self.discriminator(fake, z)
        loss: Tensor = F.relu(1 - real_scores).mean(1).sum() + F.relu(1 + fake_scores).mean(1).sum()
        return loss

    def generator_loss(self, real: Tensor) -> Tensor:
        """Make pairs of real pictures look generated, and generated pairs look real."""
        z = self.noise("generator")
        fake_scores = self.discriminator(self.generator(z), z)
        real_scores = self.discriminator(real, self._encode(real, "generator"))
        loss: Tensor = (real_scores.mean(1) - fake_scores.mean(1)).sum()
        return loss

    def export_encoder(self, steps: int = ENCODER_STEPS) -> nn.Module:
        """Fit the averaged encoder to the averaged generator, and give it.

        The game alone leaves the encoder far from the generator's inverse in a training as short
        as these, so it goes on as a latent regressor (Donahue et al. 2017, section 4): it
        maximises the likelihood of z given the generated picture.

        Args:
            steps: Of Adam, with a rate that falls to 0.
        """
        encoder = copy.deepcopy(self.encoder_average).requires_grad_(True).train()
        optimiser = torch.optim.Adam(encoder.parameters(), _ENCODER_RATE)
        generator, batch = self.average.eval(), 2 * self.recipe.batch
        seed, width = derive_seed(self.seed, "regressor"), self.recipe.network.latent_dim
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = _ENCODER_RATE * (1 - step / steps)
            z = latents(seed, range(step * batch, (step + 1) * batch), width).to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16):
                with torch.no_grad():
                    pictures = generator(z)
                mean, deviation = encoder(pictures)
            loss = F.gaussian_nll_loss(mean, z, deviation.square())
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        encoder.cpu()
        return encoder.requires_grad_(False).eval()

    def _encode(self, real: Tensor, purpose: str) -> Tensor:
        """Draw latents of real pictures from the encoder's distribution."""
        mean, deviation = self.encoder(real)
        latent: Tensor = mean + deviation * self.noise(f"encoder {purpose}")
        return latent

"""Trainings of the embedded generators: networks, losses, optimisers, and exact states.

Hinge loss, one discriminator update for each generator update, Adam (0, 0.99), rates decaying to
zero over the last 35 % of the iterations, and a moving average of the generator's weights, which
is what gets exported. Two families need more than a label: clusters of features, or an encoder.
Every random draw is a function of (seed, iteration), so a training that was interrupted continues
from its state as if nothing had happened.
"""

import copy
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from gseg.generators.encoders import EncoderNetwork
from gseg.images import from_uint8
from gseg.pretraining.discriminator import Conditioning, Discriminator, JointDiscriminator, cluster
from gseg.pretraining.recipes import Recipe
from gseg.randomness import derive_seed, labels, latents, training_order, uniforms
from gseg.scenes.pictures import Scenes

_AVERAGE: Final = 0.999
_DECAYED_SHARE: Final = 0.35
ENCODER_STEPS: Final = 2_000
_CLUSTER_EVERY: Final = 500
_ENCODER_RATE: Final = 1e-3


def half_weights(network: nn.Module) -> dict[str, Tensor]:
    """Give a network's weights as they are shipped: float16; counters stay as they are."""
    return {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in network.state_dict().items()
    }


class Training:
    """A training in progress: networks, optimisers and the iteration they have reached.

    Args:
        recipe: What to train.
        seed: Seed of initialisation, order and latents.
        device: Where to train.
    """

    discriminator: nn.Module
    networks: ClassVar[tuple[str, ...]] = ("generator", "average", "discriminator")
    optimisers: ClassVar = ("generator_optimiser", "discriminator_optimiser")

    def __init__(self, recipe: Recipe, seed: int, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        self.seed = derive_seed(seed, "gan")
        self.iteration = 0
        # The global generator is seeded in here alone: modules draw from no other.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.generator = recipe.network.build()
            self.build_opponents()
            if recipe.spectral_norm:
                _normalise(self.generator)  # draws the vectors its power iterations start from
        self.generator = self.place(self.generator)
        self.average = copy.deepcopy(self.generator)
        weights = [weight for network, _ in self.players() for weight in network.parameters()]
        # Without momentum, as Brock et al. 2019 train.
        adam = partial(torch.optim.Adam, betas=(0.0, 0.99), fused=True)
        self.generator_optimiser = adam(weights, recipe.generator_rate)
        rate = recipe.discriminator_rate
        self.discriminator_optimiser = adam(self.discriminator.parameters(), rate)

    def build_opponents(self) -> None:
        """Build the networks that are trained besides the generator."""
        signal = self.recipe.signal
        assert signal != "encoder", "`EncoderTraining` has opponents of its own"
        conditioning: Conditioning = "projection" if signal == "clusters" else signal
        self.discriminator = self.place(Discriminator(self.recipe.label_count, conditioning))

    def place(self, network: nn.Module) -> nn.Module:
        """Move a network to the device, in the fast memory format."""
        return network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def players(self) -> list[tuple[nn.Module, nn.Module]]:
        """Pair each network that plays against the discriminator with its moving average."""
        return [(self.generator, self.average)]

    def step(self, scenes: Scenes) -> tuple[float, float]:
        """Update all networks once.

        Args:
            scenes: The whole training set.

        Returns:
            Discriminator and generator loss.
        """
        self._set_rates()
        real, real_labels = self.real_batch(scenes)
        with torch.autocast(self.device.type, torch.bfloat16):
            judged = self.discriminator_loss(real, real_labels)
        _descend(judged, self.discriminator_optimiser)
        # Its gradients would be computed for nothing in the generator's turn.
        self.discriminator.requires_grad_(False)
        with torch.autocast(self.device.type, torch.bfloat16):
            fooled = self.generator_loss(real)
        _descend(fooled, self.generator_optimiser)
        self.discriminator.requires_grad_(True)
        self._update_averages()
        self.iteration += 1
        return judged.item(), fooled.item()

    def discriminator_loss(self, real: Tensor, real_labels: Tensor) -> Tensor:
        """Hinge loss on real and generated pictures, and what the class information adds."""
        with torch.no_grad():
            y = self.fake_labels("discriminator")
            fake = self.generator(self.noise("discriminator"), y)
        real_logit, extra = self.discriminator(real, real_labels)
        fake_logit, _ = self.discriminator(fake, y)
        loss: Tensor = F.relu(1 - real_logit).mean() + F.relu(1 + fake_logit).mean() + extra
        return loss

    def generator_loss(self, real: Tensor) -> Tensor:
        """What the generator minimises; real pictures serve those with an encoder."""
        y = self.fake_labels("generator")
        logit, extra = self.discriminator(self.generator(self.noise("generator"), y), y)
        loss: Tensor = extra - logit.mean()
        return loss

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs."""
        names = (*self.networks, *self.optimisers)
        return {"iteration": self.iteration, **{n: getattr(self, n).state_dict() for n in names}}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.iteration = state["iteration"]
        for name in (*self.networks, *self.optimisers):
            getattr(self, name).load_state_dict(state[name])

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
            plain = self.recipe.network.build()
        plain.load_state_dict(weights, assign=True)
        return plain.requires_grad_(False).eval()

    def real_batch(self, scenes: Scenes) -> tuple[Tensor, Tensor]:
        """Choose this iteration's real pictures, half of them mirrored, and their labels."""
        batch = self.recipe.batch
        order = training_order(self.seed, self.iteration, batch, len(scenes.labels))
        chosen = torch.from_numpy(order)
        coins = uniforms(derive_seed(self.seed, "flip"), [self.iteration], batch)[0]
        flipped = torch.from_numpy(coins < 0.5)[:, None, None, None]
        pictures = from_uint8(scenes.pictures[chosen])
        pictures = torch.where(flipped, pictures.flip(3), pictures)
        return pictures.to(self.device), scenes.labels[chosen].to(self.device)

    def noise(self, purpose: str) -> Tensor:
        """Draw this iteration's latents for one purpose."""
        seed, width = derive_seed(self.seed, purpose), self.recipe.network.latent_dim
        return latents(seed, self._rows(), width).to(self.device)

    def fake_labels(self, purpose: str) -> Tensor:
        """Draw this iteration's labels for one purpose."""
        y = labels(derive_seed(self.seed, purpose), self._rows(), self.recipe.label_count)
        assert y is not None
        return y.to(self.device)

    def _rows(self) -> range:
        batch = self.recipe.batch
        return range(self.iteration * batch, (self.iteration + 1) * batch)

    def _set_rates(self) -> None:
        left = 1 - self.iteration / self.recipe.iterations
        factor = min(1.0, left / _DECAYED_SHARE)
        for name in ("generator", "discriminator"):
            (group,) = getattr(self, f"{name}_optimiser").param_groups
            group["lr"] = getattr(self.recipe, f"{name}_rate") * factor

    @torch.no_grad()
    def _update_averages(self) -> None:
        # Fast at first, so that the random start is soon forgotten.
        keep = min(_AVERAGE, (1 + self.iteration) / (10 + self.iteration))
        for network, average in self.players():
            torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - keep)
            for mine, theirs in zip(average.buffers(), network.buffers(), strict=True):
                if mine.is_floating_point():
                    mine.lerp_(theirs, 1 - min(keep, 0.99))


def _descend(loss: Tensor, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def _normalise(network: nn.Module) -> None:
    """Put spectral normalisation on every layer but the shared class embedding."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding) and "shared" not in name:
            spectral_norm(module, eps=1e-6)


class ClusterTraining(Training):
    """SelfCondGAN: clusters of the discriminator's features are the classes (Liu et al. 2020).

    Generated pictures take the clusters of real ones, so both have the same distribution.
    """

    clusters: Tensor | None = None

    def step(self, scenes: Scenes) -> tuple[float, float]:
        """Renew the clusters where it is time, and update all networks once."""
        if self.iteration % _CLUSTER_EVERY == 0:
            assert isinstance(self.discriminator, Discriminator)
            seed, count = derive_seed(self.seed, "clusters"), self.recipe.label_count
            pictures, before = scenes.pictures, self.clusters
            self.clusters = cluster(self.discriminator, pictures, before, count, seed=seed)
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

    networks: ClassVar[tuple[str, ...]] = (*Training.networks, "encoder", "encoder_average")

    def build_opponents(self) -> None:
        """Build the joint discriminator and the encoder."""
        assert self.recipe.encoder is not None
        self.discriminator = self.place(JointDiscriminator(self.recipe.network.latent_dim))
        self.encoder = self.place(EncoderNetwork(self.recipe.encoder))
        self.encoder_average = copy.deepcopy(self.encoder)

    def players(self) -> list[tuple[nn.Module, nn.Module]]:
        """Pair generator and encoder with their moving averages."""
        return [*super().players(), (self.encoder, self.encoder_average)]

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

        Args:
            steps: Of Adam, with a rate that falls to 0.
        """
        # The game alone leaves the encoder far from the generator's inverse in a training as short
        # as these, so it goes on as a latent regressor (Donahue et al. 2017, section 4): it
        # maximises the likelihood of z given the generated picture.
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
            _descend(loss, optimiser)
        return encoder.cpu().requires_grad_(False).eval()

    def _encode(self, real: Tensor, purpose: str) -> Tensor:
        """Draw latents of real pictures from the encoder's distribution."""
        mean, deviation = self.encoder(real)
        latent: Tensor = mean + deviation * self.noise(f"encoder {purpose}")
        return latent


def start_training(recipe: Recipe, seed: int, device: torch.device) -> Training:
    """Build the training that a recipe asks for, at iteration 0; see `Training`."""
    kinds = {"encoder": EncoderTraining, "clusters": ClusterTraining}
    return kinds.get(recipe.signal, Training)(recipe, seed, device)

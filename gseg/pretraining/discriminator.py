"""The discriminator that trains every embedded generator.

Spectrally normalised convolutions (Miyato et al. 2018) with a minibatch standard deviation
(Karras et al. 2018); class information enters in the way of the generator's family: not at all,
by projection (Miyato and Koyama 2018), as an auxiliary classifier (Odena et al. 2017), or by a
contrastive loss (Kang and Park 2020). `JointDiscriminator` judges pairs of picture and latent
(Donahue and Simonyan 2019). Clusters of the features may serve as classes (Liu et al. 2020,
section 3): `cluster`.
"""

import itertools
from typing import Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from gseg.images import from_uint8
from gseg.randomness import uniforms

# Brings the normalised layers' view of a latent to the size of that of a picture.
_LATENT_GAIN: Final = 4.0

# Half as wide again as the generators, which cost more all the same.
WIDTHS: Final = (32, 64, 128, 192)
_CHUNK: Final = 500
_ROUNDS: Final = 20
Conditioning = Literal["none", "projection", "classifier", "contrastive"]


class Discriminator(nn.Module):
    """Judges 32 px pictures.

    Args:
        num_classes: Classes of the scenes.
        conditioning: How class labels are used.
        widths: Channels from full resolution to 4x4.
    """

    def __init__(
        self,
        num_classes: int,
        conditioning: Conditioning = "none",
        widths: tuple[int, ...] = WIDTHS,
    ) -> None:
        super().__init__()
        last = widths[-1]
        self.conditioning = conditioning
        self.entry = spectral_norm(nn.Conv2d(3, widths[0], 3, padding=1))
        self.down = nn.ModuleList(
            spectral_norm(nn.Conv2d(wide, wider, 4, stride=2, padding=1))
            for wide, wider in itertools.pairwise(widths)
        )
        self.mix = spectral_norm(nn.Conv2d(last + 1, last, 3, padding=1))
        self.pooled_head = spectral_norm(nn.Linear(last, 1))
        self.spatial_head = spectral_norm(nn.Linear(last * 16, 1))
        if conditioning == "projection":
            self.embedding = spectral_norm(nn.Embedding(num_classes, last))
        if conditioning == "classifier":
            self.classifier = spectral_norm(nn.Linear(last, num_classes))
        if conditioning == "contrastive":
            self.embedding = nn.Embedding(num_classes, last)
            self.project = spectral_norm(nn.Linear(last, last))

    def features(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the 4x4 map and its pooled form.

        Args:
            pictures: (N, 3, 32, 32) in [-1, 1].

        Returns:
            (N, C, 4, 4) and (N, C).
        """
        x = F.relu(self.entry(pictures.contiguous(memory_format=torch.channels_last)))
        for layer in self.down:
            x = F.relu(layer(x))
        # One number for the whole batch: pictures that are all alike give themselves away.
        spread = x.float().std(0, correction=0).mean().to(x.dtype)
        x = F.relu(self.mix(torch.cat([x, spread.expand(len(x), 1, 4, 4)], dim=1)))
        return x, x.sum((2, 3)) * 0.5

    def judge(self, spatial: Tensor, pooled: Tensor) -> Tensor:
        """Give the logit (N,) of what `features` computed, without class information."""
        logit: Tensor = self.pooled_head(pooled)[:, 0] + self.spatial_head(spatial.flatten(1))[:, 0]
        return logit

    def forward(self, pictures: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Judge pictures.

        Args:
            pictures: (N, 3, 32, 32) in [-1, 1].
            labels: (N,) int64.

        Returns:
            The adversarial logit (N,) and a conditional loss term (scalar, 0 where unused).
        """
        spatial, pooled = self.features(pictures)
        logit = self.judge(spatial, pooled)
        extra = torch.zeros((), device=pictures.device)
        if self.conditioning == "projection":
            logit = logit + (self.embedding(labels) * pooled).sum(1)
        elif self.conditioning == "classifier":
            extra = F.cross_entropy(self.classifier(pooled).float(), labels)
        elif self.conditioning == "contrastive":
            pair = self.project(pooled).float(), self.embedding(labels).float()
            extra = conditional_contrastive_loss(*pair, labels)
        return logit.float(), extra


class JointDiscriminator(nn.Module):
    """Judges pictures, latents, and whether they belong together (BigBiGAN's three scores).

    Args:
        latent_dim: Width of a latent.
        hidden: Width of the layers that see the latent.
    """

    def __init__(self, latent_dim: int, hidden: int = 128) -> None:
        super().__init__()
        self.pictures = Discriminator(0)
        self.latents = nn.Sequential(*_dense(latent_dim, hidden, hidden))
        self.latent_head = spectral_norm(nn.Linear(hidden, 1))
        self.pairs = nn.Sequential(*_dense(WIDTHS[-1] + hidden, 2 * hidden, hidden, 1)[:-1])

    def forward(self, pictures: Tensor, latents: Tensor) -> Tensor:
        """Judge pairs.

        Args:
            pictures: (N, 3, 32, 32) in [-1, 1].
            latents: (N, latent_dim).

        Returns:
            (3, N): the logits of the picture, of the latent, and of both together.
        """
        spatial, pooled = self.pictures.features(pictures)
        hidden = self.latents(latents)
        together = self.pairs(torch.cat([pooled, _LATENT_GAIN * hidden], dim=1))[:, 0]
        scores = (self.pictures.judge(spatial, pooled), self.latent_head(hidden)[:, 0], together)
        return torch.stack([score.float() for score in scores])


def _dense(*widths: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inside, outside in itertools.pairwise(widths):
        layers += [spectral_norm(nn.Linear(inside, outside)), nn.ReLU()]
    return layers


def conditional_contrastive_loss(
    features: Tensor, anchors: Tensor, labels: Tensor, temperature: float = 1.0
) -> Tensor:
    """Pull pictures of one class and their class embedding together (Kang and Park 2020, Eq. 8).

    Args:
        features: (N, D).
        anchors: (N, D), the class embedding of each picture.
        labels: (N,) int64.
        temperature: Divides the cosine similarities.

    Returns:
        Scalar.
    """
    features, anchors = F.normalize(features, dim=1), F.normalize(anchors, dim=1)
    to_anchor = torch.exp((features * anchors).sum(1) / temperature)
    pairs = torch.exp(features @ features.t() / temperature)
    others = ~torch.eye(len(features), dtype=torch.bool, device=features.device)
    same = (labels[:, None] == labels[None]) & others
    numerator = to_anchor + (pairs * same).sum(1)
    denominator = to_anchor + (pairs * others).sum(1)
    return -torch.log(numerator / denominator).mean()


@torch.no_grad()
def cluster(
    discriminator: Discriminator, pictures: Tensor, before: Tensor | None, count: int, *, seed: int
) -> Tensor:
    """Group pictures by their pooled features, by k-means.

    It starts from the means of the clusters before, in the features as they are now, so a cluster
    keeps its number while it changes.

    Args:
        discriminator: Gives the features; its state is not changed.
        pictures: (N, 3, 32, 32) uint8.
        before: (N,) int64, the clusters so far; None to start from pictures chosen by the seed.
        count: Clusters.
        seed: Of the start.

    Returns:
        (N,) int64 in [0, count).
    """
    table = _features(discriminator, pictures)
    if before is None:
        draws = uniforms(seed, [0], count)[0]
        centres = table[torch.from_numpy((draws * len(table)).astype("int64"))]
        assigned = _nearest(table, centres)
    else:
        assigned = before
    for _ in range(_ROUNDS):
        centres = _means(table, assigned, count)
        moved = _nearest(table, centres)
        if torch.equal(moved, assigned):
            break
        assigned = moved
    return assigned


def _features(discriminator: Discriminator, pictures: Tensor) -> Tensor:
    """Compute pooled features of unit length, (N, C) float32 on the CPU."""
    mode = discriminator.training
    discriminator.eval()  # spectral normalisation makes no power iteration
    device = next(discriminator.parameters()).device
    parts = []
    for chunk in torch.split(pictures, _CHUNK):
        with torch.autocast(device.type, torch.bfloat16):
            pooled = discriminator.features(from_uint8(chunk.to(device)))[1]
        parts.append(F.normalize(pooled.float(), dim=1).cpu())
    discriminator.train(mode)
    return torch.cat(parts)


def _nearest(table: Tensor, centres: Tensor) -> Tensor:
    return (table @ centres.t() - centres.square().sum(1) / 2).argmax(1)


def _means(table: Tensor, assigned: Tensor, count: int) -> Tensor:
    """Give the mean of each cluster; one without pictures takes the one farthest from its own."""
    sums = torch.zeros(count, table.shape[1]).index_add_(0, assigned, table)
    sizes = torch.bincount(assigned, minlength=count)
    means = sums / sizes.clamp(min=1)[:, None]
    empty = (sizes == 0).nonzero()[:, 0]
    if len(empty):
        distance = (table - means[assigned]).square().sum(1)
        means[empty] = table[distance.topk(len(empty)).indices]
    return means

"""How each embedded generator is built and trained: its family's architecture in small.

Widths, iterations and rates are ours; conditioning, attention and spectral normalisation follow
the family (Melas-Kyriazi et al. 2022, Table 2, and the configurations of the public programs).
"""

from dataclasses import dataclass
from typing import Final

from gseg.generators.big_resnet import BigResNetConfig
from gseg.generators.resnet import ResNetConfig
from gseg.generators.self_conditioned import SelfConditionedConfig
from gseg.scenes.discriminator import Conditioning
from gseg.scenes.pictures import CLASS_NAMES

NetworkConfig = ResNetConfig | BigResNetConfig | SelfConditionedConfig

_CLASSES: Final = len(CLASS_NAMES)
_WIDTHS: Final = (128, 96, 48, 24)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One embedded generator's training.

    Attributes:
        family: The method's name in the literature.
        paper: Citation of the method.
        network: The generator's configuration.
        conditioning: How the discriminator uses labels.
        spectral_norm: Whether the generator's layers are normalised too.
        iterations: Updates of the generator.
        batch: Pictures in an update.
        generator_rate: Adam's rate for the generator.
        discriminator_rate: Adam's rate for the discriminator.
    """

    family: str
    paper: str
    network: NetworkConfig
    conditioning: Conditioning = "none"
    spectral_norm: bool = False
    iterations: int = 4_000
    batch: int = 32
    generator_rate: float = 4e-4
    discriminator_rate: float = 6e-4

    @property
    def supervision(self) -> str:
        """Whether class labels take part in the training."""
        return "none" if self.conditioning == "none" else "class labels"


def _resnet(*, classes: int = _CLASSES) -> ResNetConfig:
    return ResNetConfig(latent_dim=64, resolution=32, channels=_WIDTHS, num_classes=classes)


RECIPES: Final[dict[str, Recipe]] = {
    "ggan.scenes32": Recipe(family="GGAN", paper="Lim and Ye 2017", network=_resnet(classes=0)),
    "sngan.scenes32": Recipe(
        family="SNGAN",
        paper="Miyato et al. 2018",
        network=_resnet(),
        conditioning="projection",
        iterations=6_000,
    ),
    "biggan.scenes32": Recipe(
        family="BigGAN",
        paper="Brock et al. 2019",
        network=BigResNetConfig(
            latent_dim=64,
            shared_dim=32,
            resolution=32,
            channels=_WIDTHS,
            num_classes=_CLASSES,
            attention_after=2,
        ),
        conditioning="projection",
        spectral_norm=True,
        iterations=6_000,
    ),
    "uncondgan.scenes32": Recipe(
        family="UncondGAN",
        paper="Liu et al. 2020",
        network=SelfConditionedConfig(
            latent_dim=64,
            resolution=32,
            channels=_WIDTHS,
            num_classes=0,
            embed_dim=0,
            blocks_per_stage=1,
        ),
    ),
}

"""How each embedded generator is built and trained: its family's architecture in small.

The twelve rows of Melas-Kyriazi et al. 2022, Table 2: the five of TinyImageNet as
``<family>.scenes32``, the seven of ImageNet as ``<family>.scenes32-large``, wider and trained
longer. Widths, iterations and rates are ours, and the same for all rows of a size; conditioning,
attention and spectral normalisation follow the family and the configurations of the public
programs.
"""

from dataclasses import dataclass
from typing import Final, Literal

from gseg.generators.big_resnet import BigResNetConfig
from gseg.generators.encoders import EncoderConfig
from gseg.generators.resnet import ResNetConfig
from gseg.generators.self_conditioned import SelfConditionedConfig
from gseg.scenes.pictures import CLASS_NAMES

NetworkConfig = ResNetConfig | BigResNetConfig | SelfConditionedConfig
Signal = Literal["none", "projection", "classifier", "contrastive", "clusters", "encoder"]
Supervision = Literal["none", "class labels"]

_CLASSES: Final = len(CLASS_NAMES)
_CLUSTERS: Final = 20
_SMALL: Final = (128, 96, 48, 24)
_LARGE: Final = (136, 104, 56, 28)
_LARGE_PLAIN: Final = (128, 96, 56, 28)
"""The self-conditioned architecture has more weights at the same widths."""
_LARGE_ITERATIONS: Final = 4_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One embedded generator's training.

    Attributes:
        family: The method's name in the literature.
        paper: Citation of the method.
        network: The generator's configuration.
        signal: What the discriminator is told besides the picture: nothing; the class by
            projection, by an auxiliary classifier or by a contrastive loss; clusters of its own
            features as classes; or a latent, which an encoder finds for real pictures.
        encoder: The encoder's configuration, with that signal alone.
        spectral_norm: Whether the generator's layers are normalised too.
        iterations: Updates of the generator.
        snapshots: Iterations at which the averaged weights are kept besides.
        batch: Pictures in an update.
        generator_rate: Adam's rate for the generator, and for an encoder.
        discriminator_rate: Adam's rate for the discriminator.
    """

    family: str
    paper: str
    network: NetworkConfig
    signal: Signal = "none"
    encoder: EncoderConfig | None = None
    spectral_norm: bool = False
    iterations: int = 3_000
    snapshots: tuple[int, ...] = ()
    batch: int = 32
    generator_rate: float = 4e-4
    discriminator_rate: float = 6e-4

    @property
    def supervision(self) -> Supervision:
        """Whether class labels take part in the training."""
        labelled = self.signal in ("projection", "classifier", "contrastive")
        return "class labels" if labelled else "none"

    @property
    def label_count(self) -> int:
        """Classes that labels are drawn from: those of the scenes, or clusters."""
        return self.network.num_classes if self.signal == "clusters" else _CLASSES


def _resnet(
    widths: tuple[int, ...] = _SMALL, *, classes: int = _CLASSES, attention: int | None = None
) -> ResNetConfig:
    return ResNetConfig(
        latent_dim=64,
        resolution=32,
        channels=widths,
        num_classes=classes,
        attention_after=attention,
    )


def _big(widths: tuple[int, ...], *, classes: int = _CLASSES) -> BigResNetConfig:
    return BigResNetConfig(
        latent_dim=64,
        shared_dim=32,
        resolution=32,
        channels=widths,
        num_classes=classes,
        attention_after=2,
    )


def _self_conditioned(clusters: int) -> SelfConditionedConfig:
    return SelfConditionedConfig(
        latent_dim=64,
        resolution=32,
        channels=_LARGE_PLAIN,
        num_classes=clusters,
        embed_dim=32 if clusters else 0,
        blocks_per_stage=1,
    )


_SNGAN: Final = "Miyato et al. 2018"
_SAGAN: Final = "Zhang et al. 2019"
_BIGGAN: Final = "Brock et al. 2019"
_LIU: Final = "Liu et al. 2020"

RECIPES: Final[dict[str, Recipe]] = {
    "acgan.scenes32": Recipe(
        family="ACGAN", paper="Odena et al. 2017", network=_resnet(), signal="classifier"
    ),
    "biggan.scenes32": Recipe(
        family="BigGAN",
        paper=_BIGGAN,
        network=_big(_SMALL),
        signal="projection",
        spectral_norm=True,
        snapshots=(300, 1_000),
    ),
    "ggan.scenes32": Recipe(family="GGAN", paper="Lim and Ye 2017", network=_resnet(classes=0)),
    "sagan.scenes32": Recipe(
        family="SAGAN",
        paper=_SAGAN,
        network=_resnet(attention=2),
        signal="projection",
        spectral_norm=True,
    ),
    "sngan.scenes32": Recipe(family="SNGAN", paper=_SNGAN, network=_resnet(), signal="projection"),
    "bigbigan.scenes32-large": Recipe(
        family="BigBiGAN",
        paper="Donahue and Simonyan 2019",
        network=_big(_LARGE, classes=0),
        signal="encoder",
        encoder=EncoderConfig(latent_dim=64, resolution=32, channels=(24, 40, 56, 64)),
        spectral_norm=True,
        iterations=_LARGE_ITERATIONS,
    ),
    "selfcondgan.scenes32-large": Recipe(
        family="SelfCondGAN",
        paper=_LIU,
        network=_self_conditioned(_CLUSTERS),
        signal="clusters",
        iterations=_LARGE_ITERATIONS,
    ),
    "uncondgan.scenes32-large": Recipe(
        family="UncondGAN",
        paper=_LIU,
        network=_self_conditioned(0),
        iterations=_LARGE_ITERATIONS,
    ),
    "contragan.scenes32-large": Recipe(
        family="ContraGAN",
        paper="Kang and Park 2020",
        network=_big(_LARGE),
        signal="contrastive",
        spectral_norm=True,
        iterations=_LARGE_ITERATIONS,
    ),
    "sagan.scenes32-large": Recipe(
        family="SAGAN",
        paper=_SAGAN,
        network=_resnet(_LARGE, attention=2),
        signal="projection",
        spectral_norm=True,
        iterations=_LARGE_ITERATIONS,
    ),
    "sngan.scenes32-large": Recipe(
        family="SNGAN",
        paper=_SNGAN,
        network=_resnet(_LARGE),
        signal="projection",
        iterations=_LARGE_ITERATIONS,
    ),
    "biggan.scenes32-large": Recipe(
        family="BigGAN",
        paper=_BIGGAN,
        network=_big(_LARGE),
        signal="projection",
        spectral_norm=True,
        iterations=_LARGE_ITERATIONS,
    ),
}

"""How each embedded generator is built and trained: its family's architecture in small.

The twelve rows of Melas-Kyriazi et al. 2022, Table 2: the five of TinyImageNet as
``<family>.scenes32``, the seven of ImageNet as ``<family>.scenes32-large``, wider and trained
longer. Widths, iterations and rates are ours, and the same for all rows of a size; conditioning,
attention and spectral normalisation follow the family and the configurations of the public
programs.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

from gseg.generators.cards import PAPERS, Supervision
from gseg.generators.encoders import EncoderConfig
from gseg.generators.self_conditioned import SelfConditionedConfig
from gseg.generators.studiogan import BigResNetConfig, ResNetConfig
from gseg.scenes.pictures import CLASS_NAMES

NetworkConfig = ResNetConfig | BigResNetConfig | SelfConditionedConfig
Signal = Literal["none", "projection", "classifier", "contrastive", "clusters", "encoder"]

_CLASSES: Final = len(CLASS_NAMES)
_CLUSTERS: Final = 20
_SIZES: Final = {"latent_dim": 64, "resolution": 32, "num_classes": _CLASSES}
_SMALL: Final = (128, 96, 48, 24)
_LARGE: Final = (136, 104, 56, 28)
# The self-conditioned architecture has more weights at the same widths.
_LARGE_PLAIN: Final = (128, 96, 56, 28)
_LARGE_ITERATIONS: Final = 5_000


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
    iterations: int = 4_000
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


def _resnet(widths: tuple[int, ...], **more: int) -> ResNetConfig:
    return ResNetConfig(channels=widths, **{**_SIZES, **more})


def _big(widths: tuple[int, ...], **more: int) -> BigResNetConfig:
    numbers = {**_SIZES, "shared_dim": 32, "attention_after": 2, **more}
    return BigResNetConfig(channels=widths, **numbers)


def _self_conditioned(clusters: int) -> SelfConditionedConfig:
    # One block at each resolution; the public checkpoints have two.
    numbers = {**_SIZES, "num_classes": clusters, "blocks_per_stage": 1}
    return SelfConditionedConfig(channels=_LARGE_PLAIN, embed_dim=32 if clusters else 0, **numbers)


def _small(family: str, network: NetworkConfig, **more: Any) -> tuple[str, Recipe]:  # noqa: ANN401
    recipe = Recipe(family=family, paper=PAPERS[family], network=network, **more)
    return f"{family.lower()}.scenes32", recipe


def _large(family: str, network: NetworkConfig, **more: Any) -> tuple[str, Recipe]:  # noqa: ANN401
    name, recipe = _small(family, network, iterations=_LARGE_ITERATIONS, **more)
    return f"{name}-large", recipe


_PROJECTED: Final = {"signal": "projection", "spectral_norm": True}
_ENCODER: Final = EncoderConfig(latent_dim=64, resolution=32, channels=(24, 40, 56, 64))
_ENCODED: Final = {"signal": "encoder", "encoder": _ENCODER, "spectral_norm": True}
RECIPES: Final = dict(
    (
        _small("ACGAN", _resnet(_SMALL), signal="classifier"),
        _small("BigGAN", _big(_SMALL), **_PROJECTED, snapshots=(300, 1_000)),
        _small("GGAN", _resnet(_SMALL, num_classes=0)),
        _small("SAGAN", _resnet(_SMALL, attention_after=2), **_PROJECTED),
        _small("SNGAN", _resnet(_SMALL), signal="projection"),
        _large("BigBiGAN", _big(_LARGE, num_classes=0), **_ENCODED),
        _large("SelfCondGAN", _self_conditioned(_CLUSTERS), signal="clusters"),
        _large("UncondGAN", _self_conditioned(0)),
        _large("ContraGAN", _big(_LARGE), signal="contrastive", spectral_norm=True),
        _large("SAGAN", _resnet(_LARGE, attention_after=2), **_PROJECTED),
        _large("SNGAN", _resnet(_LARGE), signal="projection"),
        _large("BigGAN", _big(_LARGE), **_PROJECTED),
    )
)

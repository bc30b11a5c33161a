"""What is known of generators without loading them; nothing here imports PyTorch.

The cards of those that ship with the package are in the headers of their weights. Those of the
public checkpoints are written here, in the order of Melas-Kyriazi et al. 2022, Table 2; StyleGAN2
and BigGAN-deep follow. Sizes come from the configurations of the public programs. A value without
a known source is left empty; no file of these could be opened while this was written, so a
checksum is recorded when a file is first fetched, not here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final, Literal

from gseg.scenes.versions import SCENES

# Where the `Family` of each public checkpoint is: a module of this folder with ``FAMILIES``.
FAMILY_MODULES: Final = {
    **dict.fromkeys(("acgan", "biggan", "contragan", "ggan", "sagan", "sngan"), "studiogan"),
    **dict.fromkeys(("selfcondgan", "uncondgan"), "self_conditioned"),
    "bigbigan": "bigbigan",
    "stylegan2": "stylegan2",
    "biggandeep": "biggan_deep",
}
WEIGHTS_SUFFIX: Final = ".safetensors"
Supervision = Literal["none", "class labels"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratorCard:
    """Facts about one generator.

    Attributes:
        name: Catalogue name, ``family.dataset`` in lower case, such as ``sagan.imagenet128``.
        family: The paper's name for the method, such as ``SAGAN``.
        architecture: What builds it, such as ``resnet``.
        dataset: What it was trained on.
        resolution: Side of its pictures in pixels.
        num_classes: 0 where labels are ignored.
        latent_dim: Width of z.
        code_dim: Width of the space of directions; equal to latent_dim except for StyleGAN2.
        supervision: Whether its training used class labels.
        truncates: Whether truncation is an option of loading it (StyleGAN2's psi, BigGAN-deep's),
            and not of drawing its latents.
        licence: Licence of the weights, as published.
        paper: Citation.
        snapshot_of: Name of the generator in whose training these weights were kept, if they are
            not those of its end.
        published_fid: FID as published, if a source is known; of an embedded generator, the
            Fréchet distance that its record states.
        fid_protocol: How and by whom that FID was measured.
        weights: Where its weights are published, and under which file name.
        address: Address of the weights file, if there is a direct one.
    """

    name: str
    family: str
    architecture: str
    dataset: str
    resolution: int
    num_classes: int
    latent_dim: int
    code_dim: int
    supervision: Supervision = "none"
    truncates: bool = False
    licence: str = ""
    paper: str = ""
    snapshot_of: str = ""
    published_fid: float | None = None
    fid_protocol: str = ""
    weights: str = ""
    address: str = ""

    @property
    def draws_scenes(self) -> bool:
        """Whether it was trained on the scenes that ship, so that their settings suit it."""
        return self.dataset == SCENES.name


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedGenerator:
    """A public checkpoint.

    Attributes:
        card: Its description.
        config: What `gseg.generators.checkpoints.from_checkpoint` needs beside the file.
    """

    card: GeneratorCard
    config: Mapping[str, Any]


# Melas-Kyriazi et al. 2022, Table 2: the rows of TinyImageNet, then those of ImageNet.
_ORDER: Final = (
    *(f"{family}.scenes32" for family in ("acgan", "biggan", "ggan", "sagan", "sngan")),
    *(f"{family}.scenes32-large" for family in ("bigbigan", "selfcondgan", "uncondgan")),
    *(f"{family}.scenes32-large" for family in ("contragan", "sagan", "sngan", "biggan")),
)


def shipped_folder() -> Traversable:
    """Give the folder of the weights that ship with the package."""
    return files("gseg.scenes") / "weights"


def shipped_header(file: Traversable) -> dict[str, str]:
    """Read the metadata in the header of a safetensors file."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")  # the format's first 8 bytes
        header: dict[str, dict[str, str]] = json.loads(stream.read(length))
    return header.get("__metadata__", {})


def embedded_cards() -> list[GeneratorCard]:
    """Describe the generators whose weights are in the package.

    Returns:
        Their cards in the order of Melas-Kyriazi et al. 2022, Table 2, then the snapshots of
        trainings by iteration.
    """
    found = [item for item in shipped_folder().iterdir() if item.name.endswith(WEIGHTS_SUFFIX)]
    headers = {item.name.removesuffix(WEIGHTS_SUFFIX): shipped_header(item) for item in found}
    # Other networks, such as the feature network, lie in the same folder.
    cards = [embedded_card(name, head) for name, head in headers.items() if "architecture" in head]
    return sorted(cards, key=_place)


def embedded_card(name: str, header: Mapping[str, str]) -> GeneratorCard:
    """Make the card of an embedded generator of the metadata of its file."""
    numbers, facts = json.loads(header["config"]), json.loads(header["card"])
    return GeneratorCard(
        name=name,
        family=facts["family"],
        architecture=header["architecture"],
        dataset=SCENES.name,
        resolution=numbers["resolution"],
        num_classes=numbers["num_classes"],
        latent_dim=numbers["latent_dim"],
        code_dim=numbers["latent_dim"],
        supervision=facts.get("supervision", "none"),
        licence="MIT",
        paper=facts.get("paper", ""),
        snapshot_of=facts.get("snapshot_of", ""),
        published_fid=facts.get("fid"),
        fid_protocol=facts.get("fid_protocol", ""),
    )


def _place(card: GeneratorCard) -> tuple[bool, int, str, int]:
    """Say where an embedded card stands in the list: snapshots last, by iteration."""
    name = card.snapshot_of or card.name
    place = _ORDER.index(name) if name in _ORDER else len(_ORDER)
    iteration = int(card.name.rpartition("-")[2]) if card.snapshot_of else 0
    return bool(card.snapshot_of), place, name, iteration


_STUDIOGAN: Final = "https://github.com/POSTECH-CVLab/PyTorch-StudioGAN"
_LINKS: Final = "https://github.com/lukemelas/pytorch-pretrained-gans"
_IMAGENET_FID: Final = "StudioGAN's README, spring 2021"
_TINY_FID: Final = f"{_IMAGENET_FID}: batch statistics, best (not last) checkpoint of the training"
PAPERS: Final = {
    "ACGAN": "Odena et al. 2017",
    "BigGAN": "Brock et al. 2019",
    "GGAN": "Lim and Ye 2017",
    "SAGAN": "Zhang et al. 2019",
    "SNGAN": "Miyato et al. 2018",
    "ContraGAN": "Kang and Park 2020",
    "UncondGAN": "Liu et al. 2020",
    "SelfCondGAN": "Liu et al. 2020",
    "BigBiGAN": "Donahue and Simonyan 2019",
    "StyleGAN2": "Karras et al. 2020",
    "BigGAN-deep": "Brock et al. 2019",
}
_BIGBIGAN: Final = {"dim_z": 120, "shared_dim": 128, "resolution": 128, "G_ch": 96}
_CONDITIONING: Final = {"ACGAN": "ACGAN", "GGAN": "no", "ContraGAN": "ContraGAN"}


def _published(
    family: str,
    data: str,
    resolution: int,
    architecture: str,
    numbers: Mapping[str, Any],
    *,
    latent_dim: int,
    weights_at: str = "",
    **facts: Any,  # noqa: ANN401 further fields of the card
) -> PublishedGenerator:
    name = family.lower().replace("-", "")
    config: dict[str, Any] = {"family": name, "architecture": architecture, "config": numbers}
    if weights_at:
        config["checkpoint"] = {"weights_at": weights_at}
    card = GeneratorCard(
        name=f"{name}.{data.lower()}{resolution}",
        family=family,
        architecture=architecture,
        dataset=f"{data}, {resolution} px",
        resolution=resolution,
        latent_dim=latent_dim,
        code_dim=latent_dim,
        paper=PAPERS[family],
        **{"num_classes": 0, **facts},
    )
    return PublishedGenerator(card=card, config=config)


def _studiogan(
    family: str,
    *,
    tiny: bool,
    fid: float,
    folder: str = "",
    attention: bool = False,
    big: tuple[int, int, int] | None = None,
) -> PublishedGenerator:
    """Describe one of StudioGAN's checkpoints.

    Args:
        family: The method.
        tiny: TinyImageNet at 64 px, or else ImageNet at 128 px.
        fid: As published.
        folder: Its folder in the repository that holds the links, if not the family's name.
        attention: Whether it has self-attention, with spectral normalisation.
        big: Latent, shared and base width of the big residual generator.
    """
    data, resolution, classes = ("TinyImageNet", 64, 200) if tiny else ("ImageNet", 128, 1000)
    latent_dim, shared_dim, width = big or (128, "N/A", 64)
    labelled = family != "GGAN"
    architecture, averaged = ("resnet", "G") if big is None else ("big_resnet", "G_ema")
    numbers = {
        "z_dim": latent_dim,
        "shared_dim": shared_dim,
        "img_size": resolution,
        "g_conv_dim": width,
        "g_spectral_norm": attention,
        "attention": attention,
        "attention_after_nth_gen_block": (3 if tiny else 4) if attention else "N/A",
        "conditional_strategy": _CONDITIONING.get(family, "ProjGAN"),
        "num_classes": classes,
    }
    return _published(
        family,
        data,
        resolution,
        architecture,
        numbers,
        latent_dim=latent_dim,
        weights_at="state_dict",
        num_classes=classes if labelled else 0,
        supervision="class labels" if labelled else "none",
        licence="not stated for the weights; StudioGAN's code is MIT",
        published_fid=fid,
        fid_protocol=_TINY_FID if tiny else _IMAGENET_FID,
        # Evaluated with the running averages of the checkpoint.
        weights=(
            f"model={averaged}-best-weights-step=<STEP>.pth; links in {_STUDIOGAN} and in "
            f"{_LINKS}, StudioGAN/configs/{data}/{folder or family}"
        ),
    )


def _self_conditioned(family: str, *, clusters: int, **facts: object) -> PublishedGenerator:
    """Describe one of the two self-conditioned checkpoints."""
    file = f"{family.lower()}_i_model.pt"
    numbers = {
        "z_dim": 256,
        "nlabels": clusters or 1,
        "size": 128,
        "conditioning": "embedding" if clusters else "unconditional",
        "embed_size": 256,
        "nfilter": 64,
    }
    return _published(
        family,
        "ImageNet",
        128,
        "self_conditioned",
        numbers,
        latent_dim=256,
        weights_at="generator",
        num_classes=clusters,
        # No normalisation layers; the raw generator, not its moving average.
        weights=file,
        address=f"http://selfcondgan.csail.mit.edu/weights/{file}",
        **facts,
    )


def _stylegan2(data: str, resolution: int) -> PublishedGenerator:
    file = f"{data.lower()}.pkl"
    base = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained"
    return _published(
        "StyleGAN2",
        data,
        resolution,
        "stylegan2",
        {},  # its pickles tell all numbers
        latent_dim=512,
        truncates=True,
        licence="Nvidia Source Code License (research and evaluation)",
        # G_ema, constant noise.
        weights=file,
        address=f"{base}/{file}",
    )


def _biggan_deep(resolution: int, layers: str) -> PublishedGenerator:
    """Describe one of BigGAN-deep's checkpoints.

    Args:
        resolution: Side of the pictures.
        layers: Factors of the channels into and out of each block, a ``+`` where it enlarges.
    """
    file = f"biggan-deep-{resolution}-pytorch_model.bin"
    blocks = [(each.endswith("+"), each.strip("+").split(":")) for each in layers.split()]
    numbers = {
        "output_dim": resolution,
        "z_dim": 128,
        "class_embed_dim": 128,
        "channel_width": 128,
        "num_classes": 1000,
        "layers": tuple((enlarge, int(a), int(b)) for enlarge, (a, b) in blocks),
        "attention_layer_position": 8,
        "eps": 1e-4,
        "n_stats": 51,
    }
    return _published(
        "BigGAN-deep",
        "ImageNet",
        resolution,
        "biggan_deep",
        numbers,
        latent_dim=128,
        num_classes=1000,
        supervision="class labels",
        truncates=True,
        # Tables of statistics for each truncation.
        weights=file,
        address=f"https://s3.amazonaws.com/models.huggingface.co/biggan/{file}",
    )


_BIG: Final[dict[str, Any]] = {"attention": True, "big": (120, 128, 96)}
PUBLISHED: Final[tuple[PublishedGenerator, ...]] = (
    _studiogan("ACGAN", tiny=True, fid=78.51),
    _studiogan("BigGAN", tiny=True, fid=31.92, attention=True, big=(100, 128, 80)),
    _studiogan("GGAN", tiny=True, fid=102.09),
    _studiogan("SAGAN", tiny=True, fid=51.41, attention=True),
    _studiogan("SNGAN", tiny=True, fid=53.59),
    _studiogan("SAGAN", tiny=False, fid=34.73, attention=True),
    _studiogan("SNGAN", tiny=False, fid=26.79),
    _studiogan("ContraGAN", tiny=False, fid=25.16, folder="ContraGAN256", **_BIG),
    _self_conditioned("UncondGAN", clusters=0),
    _self_conditioned(
        "SelfCondGAN", clusters=100, published_fid=41.7, fid_protocol="quoted second hand"
    ),
    _studiogan("BigGAN", tiny=False, fid=7.89, folder="BigGAN2048", **_BIG),
    _published(
        "BigBiGAN",
        "ImageNet",
        128,
        "big_resnet",
        {**_BIGBIGAN, "n_classes": 1000, "G_attn": "64"},
        latent_dim=120,
        published_fid=23.3,
        fid_protocol="quoted in Voynov et al. 2021, section 4.3",
        # Stored statistics; spectral norm by one power iteration from the stored u0.
        weights="BigBiGAN_x1.pth, converted from the authors' TF-Hub module bigbigan-resnet50",
        address="https://www.dropbox.com/s/9w2i45h455k3b4p/BigBiGAN_x1.pth?dl=1",
    ),
    _stylegan2("FFHQ", 1024),
    _stylegan2("AFHQWild", 512),
    _biggan_deep(128, "16:16 16:16+ 16:16 16:8+ 8:8 8:4+ 4:4 4:2+ 2:2 2:1+"),
    _biggan_deep(256, "16:16 16:16+ 16:16 16:8+ 8:8 8:8+ 8:8 8:4+ 4:4 4:2+ 2:2 2:1+"),
    _biggan_deep(512, "16:16 16:16+ 16:16 16:8+ 8:8 8:8+ 8:8 8:4+ 4:4 4:2+ 2:2 2:1+ 1:1 1:1+"),
)

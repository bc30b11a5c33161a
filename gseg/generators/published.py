"""Facts about the public checkpoints: the twelve of Melas-Kyriazi et al. 2022, Table 2, and more.

The order is the table's; StyleGAN2 and BigGAN-deep follow. Sizes come from the configurations of
the public programs. A value without a known source is left empty; no file of these could be opened
while this was written, so a checksum is recorded when a file is first fetched, not here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from gseg.generators.contract import GeneratorCard


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedGenerator:
    """A public checkpoint.

    Attributes:
        card: Its description.
        config: What `gseg.generators.from_checkpoint` needs beside the file.
    """

    card: GeneratorCard
    config: Mapping[str, Any] = field(default_factory=dict)


_STUDIOGAN: Final = "https://github.com/POSTECH-CVLab/PyTorch-StudioGAN"
_LINKS: Final = "https://github.com/lukemelas/pytorch-pretrained-gans"
_TINY_FID: Final = (
    "StudioGAN's README, spring 2021: batch statistics, best (not last) checkpoint of the training"
)
_IMAGENET_FID: Final = "StudioGAN's README, spring 2021"
_PAPERS: Final = {
    "ACGAN": "Odena et al. 2017",
    "BigGAN": "Brock et al. 2019",
    "GGAN": "Lim and Ye 2017",
    "SAGAN": "Zhang et al. 2019",
    "SNGAN": "Miyato et al. 2018",
    "ContraGAN": "Kang and Park 2020",
    "UncondGAN": "Liu et al. 2020",
    "SelfCondGAN": "Liu et al. 2020",
    "BigBiGAN": "Donahue and Simonyan 2019",
}
_DEEP_START: Final = ((False, 16, 16), (True, 16, 16), (False, 16, 16), (True, 16, 8))
_DEEP_END: Final = ((True, 8, 4), (False, 4, 4), (True, 4, 2), (False, 2, 2), (True, 2, 1))
_DEEP_MIDDLE: Final = ((False, 8, 8), (True, 8, 8), (False, 8, 8))
_DEEP_LAYERS: Final = {
    128: (*_DEEP_START, (False, 8, 8), *_DEEP_END),
    256: (*_DEEP_START, *_DEEP_MIDDLE, *_DEEP_END),
    512: (*_DEEP_START, *_DEEP_MIDDLE, *_DEEP_END, (False, 1, 1), (True, 1, 1)),
}
_CONDITIONING: Final = {"ACGAN": "ACGAN", "GGAN": "no", "ContraGAN": "ContraGAN"}


def _studiogan(
    family: str,
    *,
    tiny: bool,
    fid: float,
    folder: str,
    attention: bool = False,
    big: tuple[int, int, int] | None = None,
) -> PublishedGenerator:
    """Describe one of StudioGAN's checkpoints.

    Args:
        family: The method.
        tiny: TinyImageNet at 64 px, or else ImageNet at 128 px.
        fid: As published.
        folder: Its folder in the repository that holds the links.
        attention: Whether it has self-attention, with spectral normalisation.
        big: Latent, shared and base width of the big residual generator.
    """
    resolution, classes = (64, 200) if tiny else (128, 1000)
    latent_dim, shared_dim, width = big or (128, 0, 64)
    labelled = family != "GGAN"
    constructor: dict[str, Any] = {
        "z_dim": latent_dim,
        "shared_dim": shared_dim or "N/A",
        "img_size": resolution,
        "g_conv_dim": width,
        "g_spectral_norm": attention,
        "attention": attention,
        "attention_after_nth_gen_block": (3 if tiny else 4) if attention else "N/A",
        "conditional_strategy": _CONDITIONING.get(family, "ProjGAN"),
        "num_classes": classes,
    }
    architecture = "resnet" if big is None else "big_resnet"
    averaged = "G_ema or G" if big is not None else "G"
    data = "TinyImageNet" if tiny else "ImageNet"
    return PublishedGenerator(
        card=GeneratorCard(
            name=f"{family.lower()}.{data.lower()}{resolution}",
            family=family,
            architecture=architecture,
            dataset=f"{data}, {resolution} px",
            resolution=resolution,
            num_classes=classes if labelled else 0,
            latent_dim=latent_dim,
            code_dim=latent_dim,
            supervision="class labels" if labelled else "none",
            licence="not stated for the weights; StudioGAN's code is MIT",
            paper=_PAPERS[family],
            published_fid=fid,
            fid_protocol=_TINY_FID if tiny else _IMAGENET_FID,
            statistics="running averages of the checkpoint",
            class_sampling="uniform" if labelled else "",
            weights=(
                f"model={averaged.split()[0]}-best-weights-step=<STEP>.pth; links in "
                f"{_STUDIOGAN} and in {_LINKS}, StudioGAN/configs/{data}/{folder}"
            ),
        ),
        config={
            "family": family.lower(),
            "architecture": architecture,
            "config": constructor,
            "checkpoint": {"weights_at": "state_dict"},
        },
    )


def _self_conditioned(
    family: str, *, clusters: int, file: str, fid: float | None
) -> PublishedGenerator:
    """Describe one of the two self-conditioned checkpoints."""
    return PublishedGenerator(
        card=GeneratorCard(
            name=f"{family.lower()}.imagenet128",
            family=family,
            architecture="self_conditioned",
            dataset="ImageNet, 128 px",
            resolution=128,
            num_classes=clusters,
            latent_dim=256,
            code_dim=256,
            paper=_PAPERS[family],
            published_fid=fid,
            fid_protocol="quoted second hand" if fid is not None else "",
            statistics="no normalisation layers; the raw generator, not its moving average",
            class_sampling="uniform over clusters" if clusters else "",
            weights=file,
            address=f"http://selfcondgan.csail.mit.edu/weights/{file}",
        ),
        config={
            "family": family.lower(),
            "architecture": "resnet2",
            "config": {
                "z_dim": 256,
                "nlabels": clusters or 1,
                "size": 128,
                "conditioning": "embedding" if clusters else "unconditional",
                "embed_size": 256,
                "nfilter": 64,
            },
            "checkpoint": {"weights_at": "generator"},
        },
    )


def _bigbigan() -> PublishedGenerator:
    return PublishedGenerator(
        card=GeneratorCard(
            name="bigbigan.imagenet128",
            family="BigBiGAN",
            architecture="big_resnet",
            dataset="ImageNet, 128 px",
            resolution=128,
            num_classes=0,
            latent_dim=120,
            code_dim=120,
            paper=_PAPERS["BigBiGAN"],
            published_fid=23.3,
            fid_protocol="quoted in Voynov et al. 2021, section 4.3",
            statistics="stored statistics; spectral norm by one power iteration from stored u0",
            weights="BigBiGAN_x1.pth, converted from the authors' TF-Hub module bigbigan-resnet50",
            address="https://www.dropbox.com/s/9w2i45h455k3b4p/BigBiGAN_x1.pth?dl=1",
        ),
        config={
            "family": "bigbigan",
            "config": {
                "dim_z": 120,
                "shared_dim": 128,
                "resolution": 128,
                "G_ch": 96,
                "n_classes": 1000,
                "G_attn": "64",
            },
        },
    )


def _stylegan2(data: str, file: str, resolution: int) -> PublishedGenerator:
    base = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained"
    return PublishedGenerator(
        card=GeneratorCard(
            name=f"stylegan2.{data.lower()}{resolution}",
            family="StyleGAN2",
            architecture="stylegan2",
            dataset=f"{data}, {resolution} px",
            resolution=resolution,
            num_classes=0,
            latent_dim=512,
            code_dim=512,
            licence="Nvidia Source Code License (research and evaluation)",
            paper="Karras et al. 2020",
            statistics="G_ema, constant noise",
            weights=file,
            address=f"{base}/{file}",
        ),
        config={"family": "stylegan2", "config": {}},
    )


def _biggan_deep(resolution: Literal[128, 256, 512]) -> PublishedGenerator:
    file = f"biggan-deep-{resolution}-pytorch_model.bin"
    return PublishedGenerator(
        card=GeneratorCard(
            name=f"biggandeep.imagenet{resolution}",
            family="BigGAN-deep",
            architecture="biggan_deep",
            dataset=f"ImageNet, {resolution} px",
            resolution=resolution,
            num_classes=1000,
            latent_dim=128,
            code_dim=128,
            supervision="class labels",
            paper="Brock et al. 2019",
            statistics="tables of statistics for each truncation",
            class_sampling="uniform",
            weights=file,
            address=f"https://s3.amazonaws.com/models.huggingface.co/biggan/{file}",
        ),
        config={
            "family": "biggandeep",
            "config": {
                "output_dim": resolution,
                "z_dim": 128,
                "class_embed_dim": 128,
                "channel_width": 128,
                "num_classes": 1000,
                "layers": _DEEP_LAYERS[resolution],
                "attention_layer_position": 8,
                "eps": 1e-4,
                "n_stats": 51,
            },
        },
    )


PUBLISHED: Final[tuple[PublishedGenerator, ...]] = (
    _studiogan("ACGAN", tiny=True, fid=78.51, folder="ACGAN"),
    _studiogan("BigGAN", tiny=True, fid=31.92, folder="BigGAN", attention=True, big=(100, 128, 80)),
    _studiogan("GGAN", tiny=True, fid=102.09, folder="GGAN"),
    _studiogan("SAGAN", tiny=True, fid=51.41, folder="SAGAN", attention=True),
    _studiogan("SNGAN", tiny=True, fid=53.59, folder="SNGAN"),
    _studiogan("SAGAN", tiny=False, fid=34.73, folder="SAGAN", attention=True),
    _studiogan("SNGAN", tiny=False, fid=26.79, folder="SNGAN"),
    _studiogan(
        "ContraGAN",
        tiny=False,
        fid=25.16,
        folder="ContraGAN256",
        attention=True,
        big=(120, 128, 96),
    ),
    _self_conditioned("UncondGAN", clusters=0, file="uncondgan_i_model.pt", fid=None),
    _self_conditioned("SelfCondGAN", clusters=100, file="selfcondgan_i_model.pt", fid=41.7),
    _studiogan(
        "BigGAN", tiny=False, fid=7.89, folder="BigGAN2048", attention=True, big=(120, 128, 96)
    ),
    _bigbigan(),
    _stylegan2("FFHQ", "ffhq.pkl", 1024),
    _stylegan2("AFHQWild", "afhqwild.pkl", 512),
    _biggan_deep(128),
    _biggan_deep(256),
    _biggan_deep(512),
)

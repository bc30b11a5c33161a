"""What scores can be asked for, in words: benchmarks, evaluation protocols, what is reported.

Names of benchmarks:

    scenes   scenes:COUNT   folder[+CODING...]:PATH   NAME[+OPTION...][:PATH]

where ``scenes`` is short for the kind of scenes that ships (`gseg.scenes.versions` has the others),
NAME is a published data set, and CODING what the values of mask files mean (`gseg.mask_coding`),
such as ``foreground=1,2`` or ``colour``. Without a path a data set is looked for below the root of
benchmarks: the folder that a command was given, or the one that ``GSEG_BENCHMARKS`` names.

Evaluation protocols say at which size a picture is segmented and scored, and where probabilities
are cut; `gseg.scores.batches` has the rules of sizes.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, cast, get_args

from gseg.mask_coding import mask_coding
from gseg.metrics.profiles import ProfileName
from gseg.scenes.versions import SCENES, VERSIONS
from gseg.scores.datasets import published
from gseg.storage.mirror import storage_folder
from gseg.words import nearest

SizeProtocol = Literal["text", "melas_program", "voynov_program"]
EvalProtocol = Literal[SizeProtocol, "text+otsu", "melas_program+otsu", "voynov_program+otsu"]
"""At which size scores are taken; with ``+otsu`` of masks that are cut by Otsu's threshold of each
picture's probability, instead of at .5."""
SingleRule = Literal[
    "otsu",
    "centre_disc",
    "saturation",
    "border_chroma",
    "border_chroma_centred",
    "mahalanobis",
    "mahalanobis_centred",
    "mahalanobis_chroma",
    "mahalanobis_chroma_centred",
    "nearest_border",
    "grabcut",
]
RuleChain = Literal[
    "otsu_grabcut",
    "centre_disc_grabcut",
    "saturation_grabcut",
    "border_chroma_grabcut",
    "border_chroma_centred_grabcut",
    "mahalanobis_grabcut",
    "mahalanobis_centred_grabcut",
    "mahalanobis_chroma_grabcut",
    "mahalanobis_chroma_centred_grabcut",
    "nearest_border_grabcut",
]
Rule = Literal[SingleRule, RuleChain]

DEFAULT_PROFILES: Final[tuple[ProfileName, ...]] = (
    "melas2022_program",
    "melas2022_text",
    "voynov2021",
    "sod",
)
SCORES: Final = ("accuracy", "iou", "f_beta", "max_f_beta", "mae")
"""Means over pictures that are reported, each with a confidence interval."""
RESAMPLES: Final = 1000
CONFIDENCE: Final = 0.95
RESAMPLING_SEED: Final = 0
"""How the intervals are drawn; see `gseg.scores.protocol.bootstrap_intervals`."""

_SINGLES: Final[Mapping[str, str]] = {
    "otsu": "Otsu threshold",
    "centre_disc": "centre disc",
    "saturation": "saturation",
    "border_chroma": "border's mean chroma",
    "border_chroma_centred": "border's mean chroma, centred",
    "mahalanobis": "Mahalanobis",
    "mahalanobis_centred": "Mahalanobis, centred",
    "mahalanobis_chroma": "Mahalanobis of chroma",
    "mahalanobis_chroma_centred": "Mahalanobis of chroma, centred",
    "nearest_border": "nearest border colours",
    "grabcut": "GrabCut",
}
CHAINS: Final[Mapping[str, str]] = MappingProxyType(
    {name: name.removesuffix("_grabcut") for name in get_args(RuleChain)}
)
"""Chains, and the rule with whose mask each begins."""
RULES: Final[Mapping[str, str]] = MappingProxyType(
    {**_SINGLES, **{chain: f"{_SINGLES[start]} + GrabCut" for chain, start in CHAINS.items()}}
)
"""Segmenters without learning and what people call them; `gseg.scores.baselines` computes them."""

DATA_SETS: Final = {each.name: each for each in published.PAPERS_DATA_SETS}
"""All published benchmarks by name, in the order of the papers' tables."""
SUBSET: Final = "subset"
THRESHOLD: Final = "threshold"
OPTIONS: Final = (SUBSET, THRESHOLD)
"""What may follow a data set's name after a plus sign."""
ROOT_VARIABLE: Final = "GSEG_BENCHMARKS"
FOLDER: Final = "folder"
_SHORT: Final = "scenes"
_OWN_KINDS: Final = (_SHORT, *VERSIONS, FOLDER)
_MOST_SCENES: Final = 10**9


@dataclass(frozen=True, kw_only=True, slots=True)
class Specification:
    """A benchmark's name, taken apart.

    Attributes:
        kind: Kind of scenes, "folder" or the name of a data set.
        options: What follows the name of a data set or of a folder after plus signs.
        rest: What follows the colon: a count or a path; empty if there is none.
    """

    kind: str
    options: tuple[str, ...] = ()
    rest: str = ""


def parse_spec(spec: str) -> Specification:
    """Take a benchmark's name apart and check it, without looking at files.

    Raises:
        ValueError: There is no such benchmark or option; the nearest is suggested.
    """
    name, _, rest = spec.partition(":")
    kind, *options = name.split("+")  # of the name alone: a path may hold a plus, and colons
    if kind in DATA_SETS:
        for option in options:
            checked_word(option, OPTIONS, f"option {option!r} of benchmark {kind!r}")
        return Specification(kind=kind, options=tuple(options), rest=rest)
    if kind not in _OWN_KINDS or (options and kind != FOLDER):
        raise ValueError(_unknown(spec, name, rest))
    kind = SCENES.name if kind == _SHORT else kind
    if kind in VERSIONS and ":" in spec and not _is_count(rest):
        raise ValueError(
            f"Benchmark {spec!r} needs a number of pictures after the colon, such as "
            f"'scenes:1000', at most {_MOST_SCENES:,}."
        )
    if kind == FOLDER and not rest:
        raise ValueError(f"Benchmark {spec!r} needs a path after the colon: 'folder:PATH'.")
    return Specification(kind=kind, options=mask_coding(options).words, rest=rest)


def with_coding(spec: str, words: Sequence[str]) -> str:
    """Add to the name of a folder what the values of its masks mean, unless it says that itself."""
    if not words or not spec.startswith(f"{FOLDER}:"):
        return spec
    return f"{'+'.join([FOLDER, *mask_coding(words).words])}:{spec.partition(':')[2]}"


def _is_count(text: str) -> bool:
    # Digits first: Python reads no number of more than 4,300.
    few = text.isdecimal() and len(text) <= len(str(_MOST_SCENES))
    return few and 0 < int(text) <= _MOST_SCENES


def data_set_place(parsed: Specification) -> Path:
    """Say where a data set is looked for: in its own folder, or the root of benchmarks.

    Raises:
        ValueError: Neither is given.
    """
    place = parsed.rest or os.environ.get(ROOT_VARIABLE, "")
    if not place:
        raise ValueError(
            f"Where is {DATA_SETS[parsed.kind].title}? Give its folder, '{parsed.kind}:PATH', or "
            f"the folder of all benchmarks: --benchmarks-root, or {ROOT_VARIABLE} in the "
            "environment. `gseg benchmarks` says where to get it."
        )
    return storage_folder(place).expanduser()


def absolute_spec(spec: str, root: Path | None = None) -> str:
    """Make the name of a benchmark mean the same in every process and working folder.

    Args:
        spec: See the module.
        root: Root of benchmarks; None for that of the environment.

    Returns:
        The name with an absolute path, if it has one.

    Raises:
        ValueError: There is no such benchmark, or nobody says where it is.
    """
    parsed = parse_spec(spec)
    if parsed.kind in VERSIONS:
        return spec
    place = root.expanduser() if root is not None and not parsed.rest else data_set_place(parsed)
    return f"{'+'.join([parsed.kind, *parsed.options])}:{place.absolute()}"


def size_protocol(protocol: EvalProtocol) -> tuple[SizeProtocol, bool]:
    """Give the sizes of a protocol, and whether probabilities are cut by Otsu's threshold.

    Raises:
        ValueError: There is no such protocol; the nearest is suggested.
    """
    checked_word(protocol, get_args(EvalProtocol), f"evaluation protocol {protocol!r}")
    name, _, cut = protocol.partition("+")
    return cast(SizeProtocol, name), bool(cut)


def checked_word(word: str, known: tuple[str, ...], what: str) -> None:
    """Make sure that a word is one of the known ones.

    Raises:
        ValueError: It is not; the nearest is suggested.
    """
    if word not in known:
        near = nearest(word, known)
        hint = f"; did you mean {near!r}?" if near else "."
        raise ValueError(f"Unknown {what}{hint} There are {', '.join(known[:-1])} and {known[-1]}.")


def _unknown(spec: str, name: str, rest: str) -> str:
    near = nearest(name, (*_OWN_KINDS, *DATA_SETS))
    suggestion = f"{near}:{rest}" if near and rest else near
    if Path(spec).is_dir():  # somebody gave the path alone
        suggestion = f"folder:{spec}"
    hint = f"; did you mean {suggestion!r}?" if suggestion else "."
    return (
        f"Unknown benchmark {spec!r}{hint} Expected 'scenes', 'scenes:COUNT' or 'folder:PATH', a "
        f"folder with images/ and masks/, or a data set: {', '.join(DATA_SETS)}."
    )

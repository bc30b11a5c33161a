"""A found direction: two unit vectors, where they come from, and the curves of their search.

A direction may carry the two affine colour maps that its lighter vector acts by, for masks by
Eq. (5) of Voynov et al. 2021.

The direction files of the two official programs are read, too: lukemelas/
unsupervised-image-segmentation saves ``latest.pth``, the vector below ``state_dict`` beside a
pickled OmegaConf configuration; anvoynov/BigGANsAreWatching saves a bare tensor.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as dump_tensors
from torch import Tensor

from gseg.arrays import check_finite, load_torch
from gseg.directions.colour_maps import ColourMaps
from gseg.downloads import why_unreadable
from gseg.generators.contract import Generator
from gseg.storage.files import read_text, replacing, write_atomically

_VECTORS: Final = "direction.safetensors"
_PROVENANCE: Final = "direction.json"
_LOSSES: Final = "losses.parquet"
_UNIT_TOLERANCE: Final = 1e-3
# Name of the tensor of colour maps in the file, by whether they clamp.
_OPERATORS: Final = {False: "operators", True: "clamped_operators"}
# Damaged files of the three kinds, and what they are if they are others.
_UNREADABLE: Final = (
    *(OSError, SafetensorError, ValueError, TypeError, RecursionError, pa.ArrowException),
)
_OPERATORS_SHAPE: Final = (1, 2, 3, 4)


@dataclass(frozen=True, kw_only=True, eq=False)
class Direction:
    """Directions v_l and v_d of Melas-Kyriazi et al. 2022, section 3.1.1.

    Attributes:
        lighter: (D,) float32, unit norm; along it the foreground gets lighter.
        darker: (D,) float32, unit norm; along it the foreground gets darker.
        provenance: What made it, as JSON values: generator, config, final losses.
        losses: Curves of the search, name to (steps,) float32.
        operators: Two maps that the lighter vector acts by, the lightening one first; None where
            none have been fitted. They belong to the length of shift in the provenance.
    """

    lighter: Tensor
    darker: Tensor
    provenance: dict[str, Any] = field(default_factory=dict)
    losses: dict[str, Tensor] = field(default_factory=dict)
    operators: ColourMaps | None = None

    def __post_init__(self) -> None:
        if self.operators is not None and self.operators.weights.shape != _OPERATORS_SHAPE:
            raise ValueError(
                f"The operators of a direction have shape {_OPERATORS_SHAPE}, got "
                f"{tuple(self.operators.weights.shape)}."
            )
        if self.operators is not None:
            check_finite("A direction", {"operators": self.operators.weights})
        if self.lighter.ndim != 1 or self.lighter.shape != self.darker.shape:
            raise ValueError(
                "A direction needs two vectors of one length, got lighter "
                f"{tuple(self.lighter.shape)} and darker {tuple(self.darker.shape)}."
            )
        for name in ("lighter", "darker"):
            if not getattr(self, name).is_floating_point():
                raise ValueError(
                    f"The {name} vector has numbers of {getattr(self, name).dtype}, expected "
                    "floating point: save it as float32."
                )
            norm = float(getattr(self, name).norm())
            if not abs(norm - 1) <= _UNIT_TOLERANCE:  # NaN is refused, too
                raise ValueError(
                    f"The {name} vector has norm {norm:.4g}, expected 1: divide it by its norm; "
                    "the length of a shift is epsilon."
                )

    @property
    def cosine(self) -> float:
        """Inner product v_l · v_d, about -1 for a generator that acts linearly (Table 9)."""
        return float(self.lighter @ self.darker)

    def check(self, generator: Generator) -> None:
        """Make sure that the vectors fit a generator.

        Raises:
            ValueError: Its codes have another width.
        """
        card = generator.card
        if len(self.lighter) != card.code_dim:
            found_on = self.provenance.get("generator", "an unnamed generator")
            raise ValueError(
                f"This direction has {len(self.lighter)} coordinates and was found on {found_on}; "
                f"{card.name} takes codes of {card.code_dim}. Search a direction for {card.name}."
            )

    def save(self, folder: str | Path) -> None:
        """Write ``direction.safetensors``, ``direction.json`` and ``losses.parquet``.

        Each one appears whole or not at all; the folder is made if missing.
        """
        folder = Path(folder)
        tensors = {"lighter": self.lighter, "darker": self.darker}
        if self.operators is not None:
            tensors[_OPERATORS[self.operators.clamped]] = self.operators.weights
        content = dump_tensors({name: _stored(tensor) for name, tensor in tensors.items()})
        write_atomically(folder / _VECTORS, content)
        curves = {name: _stored(curve).numpy() for name, curve in self.losses.items()}
        with replacing(folder / _LOSSES) as part:
            pq.write_table(pa.table(curves), part)
        text = json.dumps(self.provenance, indent=2, sort_keys=True, allow_nan=False)
        write_atomically(folder / _PROVENANCE, text.encode())

    @classmethod
    def load(cls, folder: str | Path) -> "Direction":
        """Read what `save` wrote, to the CPU.

        Raises:
            ValueError: A file is missing or damaged; the message names it.
        """
        folder = Path(folder)
        path = folder / _VECTORS
        try:
            vectors = load_tensors(path.read_bytes())
            path = folder / _PROVENANCE
            provenance = json.loads(read_text(path))
            path = folder / _LOSSES
            table = pq.read_table(pa.BufferReader(path.read_bytes()))
            losses = {name: _curve(table[name]) for name in table.column_names}
            if not isinstance(provenance, dict):
                path = folder / _PROVENANCE
                raise TypeError(f"it holds a {type(provenance).__name__}, expected an object")
        except _UNREADABLE as error:
            raise ValueError(
                f"Cannot read direction file {path}: {why_unreadable(path, error)}"
            ) from error
        operators = None
        for clamped, name in _OPERATORS.items():
            if name in vectors:
                operators = ColourMaps(weights=vectors.pop(name), clamped=clamped)
        if set(vectors) != {"lighter", "darker"}:
            raise ValueError(
                f"{folder / _VECTORS} holds {sorted(vectors)}, expected 'darker' and 'lighter'."
            )
        # What another program wrote as float64 would turn codes and pictures into float64.
        vectors = {n: v.float() if v.is_floating_point() else v for n, v in vectors.items()}
        try:
            return cls(**vectors, provenance=provenance, losses=losses, operators=operators)
        except ValueError as error:
            raise ValueError(f"{folder / _VECTORS}: {error}") from error


def _curve(column: pa.ChunkedArray) -> Tensor:
    if not pa.types.is_floating(column.type) or column.null_count:
        raise TypeError(f"a curve holds {column.type}, expected floating-point numbers")
    return torch.from_numpy(column.to_numpy().copy())


def _stored(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32).contiguous()


def read_official_vector(path: str | Path) -> Tensor:
    """Read one vector.

    Args:
        path: ``latest.pth`` of the one program, or ``bg_direction.pth`` of the other.

    Returns:
        (D,) float32 on the CPU, divided by its norm.

    Raises:
        ValueError: The file is missing, damaged or holds something else; the message names it.
    """
    path = Path(path)
    try:
        content = load_torch(path, strangers=True)
    except ValueError as error:
        raise ValueError(f"Cannot read direction file {error}") from error
    if isinstance(content, dict):
        state = content.get("state_dict")
        content = state.get("d") if isinstance(state, dict) else None
    if not isinstance(content, Tensor):
        raise ValueError(
            f"{path} holds no direction: expected a tensor, or a tensor 'd' in 'state_dict'."
        )
    vector = content.detach().float().squeeze()
    norm = float(vector.norm())
    if vector.ndim != 1 or not 0 < norm < float("inf"):
        raise ValueError(
            f"{path} holds a tensor of shape {tuple(content.shape)} and norm {norm:.4g}; expected "
            "one non-zero vector."
        )
    return vector / norm


def direction_from_official(
    lighter: str | Path, darker: str | Path | None = None, *, generator: str
) -> Direction:
    """Make a direction of one or two official files.

    Args:
        lighter: File of the direction that lightens the foreground. BigGANsAreWatching has
            only this one.
        darker: File of the other; without it the opposite vector is taken.
        generator: Catalogue name of the generator that the files belong to; they do not say.

    Returns:
        The direction, without curves.
    """
    first = read_official_vector(lighter)
    second = -first if darker is None else read_official_vector(darker)
    provenance = {
        "generator": generator,
        "lighter_file": Path(lighter).name,
        "darker_file": None if darker is None else Path(darker).name,
    }
    return Direction(lighter=first, darker=second, provenance=provenance)

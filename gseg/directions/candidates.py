"""Sets of candidate directions, among which `gseg.directions.choosing` finds a segmenting one.

Random ones, learnt ones (`gseg.directions.learnt`), and two kinds that the network itself gives:

- ``closed_form``: Shen and Zhou 2021, "Closed-Form Factorization of Latent Semantics in GANs": a
  shift n of the code moves the first layer's output by A n whatever the code is, so the unit
  vectors that move it most are the eigenvectors of A^T A with the largest eigenvalues.
- ``pca``: Härkönen et al. 2020, "GANSpace: Discovering Interpretable GAN Controls". Generators
  without a mapping network: components of a layer's activations over many latents, and for each
  component the direction of latents that a linear regression assigns to it. StyleGAN2: the
  components of w itself.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as dump_tensors
from torch import Tensor, nn

from gseg.arrays import check_finite
from gseg.directions.codes import Progress, codes_and_labels
from gseg.directions.config import CandidateConfig
from gseg.directions.learnt import learn_directions
from gseg.downloads import why_unreadable
from gseg.exactness import exact
from gseg.generators.contract import Generator
from gseg.randomness import derive_seed, normals
from gseg.storage.files import write_atomically
from gseg.storage.mirror import discard

_FILE: Final = "candidates.safetensors"
CHECKPOINT: Final = "training.pt"
"""File of an unfinished training of learnt candidates."""

_UNIT_TOLERANCE: Final = 1e-3
_AT_ONCE: Final = 50
_CELLS: Final = 8
_CODES: Final = "code"
# Components of less than this share of the first one's variance are rounding.
_RANK_FLOOR: Final = 1e-10


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Candidates:
    """A set of candidate directions.

    Attributes:
        vectors: (K, D) float32 unit vectors on the CPU.
        facts: What is known of them: ``accuracy`` of learnt ones.
    """

    vectors: Tensor
    facts: dict[str, Any] = field(default_factory=dict)


def make_candidates(
    generator: Generator,
    config: CandidateConfig,
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Candidates:
    """Make a set of candidate directions.

    Args:
        generator: A frozen generator; its device does the work.
        config: Which set.
        folder: Keeps an unfinished training of learnt candidates, which the same call takes up.
        progress: Hears of the steps of learnt candidates.

    Raises:
        ValueError: The set cannot be made for this generator; the message says why.
    """
    count, seed = config.count, config.seed
    if config.learnt is not None:
        checkpoint = None if folder is None else folder / CHECKPOINT
        learnt = learn_directions(
            generator, count, config.learnt, seed=seed, checkpoint=checkpoint, progress=progress
        )
        return Candidates(vectors=learnt.vectors, facts={"accuracy": learnt.accuracy})
    if config.kind == "pca":
        vectors = principal_directions(
            generator, count, samples=config.samples, layer=config.layer, seed=seed
        )
    elif config.kind == "closed_form":
        vectors = closed_form_directions(generator, count)
    else:
        vectors = _random(generator.card.code_dim, count, seed)
    return Candidates(vectors=vectors)


def save_candidates(folder: Path, candidates: Candidates) -> None:
    """Write ``candidates.safetensors``; the unfinished training beside it goes."""
    content = dump_tensors({"vectors": candidates.vectors.contiguous()})
    write_atomically(folder / _FILE, content)
    discard(folder / CHECKPOINT)


def load_candidates(folder: Path) -> Tensor:
    """Read the vectors that `save_candidates` wrote: (K, D) float32 on the CPU.

    Raises:
        ValueError: The file is missing or damaged; the message names it.
    """
    path = folder / _FILE
    try:
        tensors = load_tensors(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"Cannot read candidate directions {path}: {why_unreadable(path, error)}"
        ) from error
    if set(tensors) != {"vectors"} or tensors["vectors"].ndim != 2:
        raise ValueError(f"{path} holds {sorted(tensors)}, expected 'vectors' (K, D).")
    check_finite(path, tensors)
    norms = tensors["vectors"].norm(dim=1)
    if (wrong := (norms - 1).abs() > _UNIT_TOLERANCE).any():
        row = int(wrong.nonzero()[0])
        raise ValueError(
            f"{path}: row {row} of {len(norms)} has norm {float(norms[row]):.4g}, expected 1."
        )
    return tensors["vectors"]


def closed_form_directions(generator: Generator, count: int) -> Tensor:
    """Factorise the weights of the layers that the code enters.

    Returns:
        (min(count, D), D) orthonormal float32 on the CPU, the strongest first; of each the
        coordinate of largest magnitude is positive.

    Raises:
        ValueError: The architecture is not known.
    """
    weights = generator.code_weights()
    if weights is None:
        raise ValueError(
            f"{generator.card.name} is of no architecture whose first layers are known: choose "
            "other candidates, such as pca, random or learnt."
        )
    # Where codes enter several layers, A has the rows of all. As in the official program every
    # row is first divided by its norm, so that layers of different scale weigh the same.
    rows = F.normalize(weights.double().cpu())
    _, vectors = torch.linalg.eigh(rows.T @ rows)
    return _with_fixed_signs(vectors.T.flip(0)[:count].float())


@exact()
@torch.no_grad()
def principal_directions(
    generator: Generator, count: int, *, samples: int = 2_000, layer: str = "", seed: int = 0
) -> Tensor:
    """Find directions that move activations along their principal components.

    Args:
        generator: A frozen generator.
        count: Directions wanted.
        samples: Latents to look at.
        layer: Module of the network, ``.`` for its pictures; empty for what suits the architecture.
        seed: Of latents and labels.

    Returns:
        (K, D) float32 unit vectors on the CPU, the component of largest variance first; K is
        count, or less if codes are narrower or samples fewer. Of each the coordinate of largest
        magnitude is positive.

    Raises:
        ValueError: There is no such module, or the architecture is not known and none is named.
    """
    if not layer:
        # Which layer is open in the paper. Here it is one that sees the whole latent and is not
        # linear in it, since the components of a linear layer are those of its weights, which
        # `closed_form` gives: the first residual block, or where chunks of the latent enter block
        # by block, the last one.
        layer = generator.activation_layer
        if not layer:
            raise ValueError(
                f"{generator.card.name} is of no architecture whose layers are known: name one as "
                f"layer, '.' for its pictures or one of its modules ({_modules(generator)})."
            )
    codes, features = _collect(generator, layer, samples, derive_seed(seed, "pca"))
    count = min(count, codes.shape[1], samples - 1)
    features = features - features.mean(0)
    # The components' coordinates are the left singular vectors, standardised up to a constant.
    # Of the smaller Gram matrix: 2,000 latents by 64 cells of 256 channels need no 16,384 squared.
    if features.shape[0] <= features.shape[1]:
        values, left = torch.linalg.eigh((features @ features.T).double())
        coordinates = left.flip(1)[:, :count]  # `eigh` gives the smallest first
    else:
        values, right = torch.linalg.eigh((features.T @ features).double())
        coordinates = F.normalize(features.double() @ right.flip(1)[:, :count], dim=0)
    count = min(count, int((values > _RANK_FLOOR * values.max()).sum()))
    centred = codes - codes.mean(0)
    vectors = coordinates[:, :count].T @ centred  # least squares: the coordinates are orthonormal
    return _with_fixed_signs(F.normalize(vectors).float())


def _random(dim: int, count: int, seed: int) -> Tensor:
    """Draw unit vectors evenly over the sphere."""
    drawn = normals(derive_seed(seed, "candidates", "random"), range(count), dim)
    return F.normalize(torch.from_numpy(drawn).float())


def _with_fixed_signs(vectors: Tensor) -> Tensor:
    """Turn each of (K, D), which has no sign of its own, so that its largest part is positive."""
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return vectors * torch.where(largest < 0, -1.0, 1.0)


def _modules(generator: Generator) -> str:
    return ", ".join(name for name, _ in generator.network.named_children()) or "it has none"


def _collect(generator: Generator, layer: str, samples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Give codes (S, D) float64 and features (S, F) float32, on the CPU."""
    parts = [
        codes_and_labels(generator, seed, range(first, min(first + _AT_ONCE, samples)))
        for first in range(0, samples, _AT_ONCE)
    ]
    codes = torch.cat([code for code, _ in parts]).cpu()
    if layer == _CODES:
        return codes.double(), codes.float()
    features: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        # To 8 x 8 cells, so that the last block's maps cost no more than the first one's.
        if output.ndim == 4 and output.shape[-1] > _CELLS:
            output = F.adaptive_avg_pool2d(output, _CELLS)
        features.append(output.flatten(1).float())

    try:
        module = generator.network.get_submodule("" if layer == "." else layer)
    except AttributeError as error:
        raise ValueError(
            f"{generator.card.name} has no layer {layer!r}; its modules are "
            f"{_modules(generator)}, and '.' stands for its pictures."
        ) from error
    with module.register_forward_hook(keep):  # which takes it off again
        for code, y in parts:
            generator(code, y)
    return codes.double(), torch.cat(features).cpu()

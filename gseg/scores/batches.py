"""A benchmark's pictures on their way to a segmenter: read ahead, brought to size, batched.

At which size a picture is segmented and scored is the evaluation protocol:

`text`: the picture is resized so that its shorter side is the working size (128 in Voynov et al.
2021; Melas-Kyriazi et al. 2022 give no scoring size: assumed the same), the mask with it, and
scores are taken at that size. CUB and Flowers are first cut to their largest central square. No
source says how; assumed: bilinear with antialiasing on bytes for pictures, the nearest pixel for
masks.
`melas_program`: the same cut and the same working size, but logits are resized back (bilinear) and
scored at the mask's own size.
`voynov_program`: nothing is cut. The program converts between floats and bytes on its way, cutting
off instead of rounding: so do we, to the picture before it is resized and to the probabilities
before they are resized back to the picture's size.

Both programs resize with Pillow, and so does whatever bears their name here. The longer side is
rounded down in all three. Where a mask is smaller than its picture (CelebAMask-HQ), scores are
taken at the mask's size.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gseg.mask_files import check_codings
from gseg.picture_files import UnreadableImageError
from gseg.randomness import derive_seed, uniforms
from gseg.scores.benchmarks import Benchmark, Example
from gseg.scores.specs import SizeProtocol
from gseg.transfers import start_copy

# Pictures of rare shapes wait for company until this many batches of pictures are held.
_WAITING_BATCHES: Final = 8
# Pictures that each reader may be ahead.
_READ_AHEAD: Final = 4
# Half of the distance between the largest probability below 1 and 1 itself, in float32.
_SATURATED: Final = 2.0**-24

T = TypeVar("T")


def working_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """Scale height and width so that the shorter is `size`; the longer is rounded down."""
    shorter = min(height, width)
    return height * size // shorter, width * size // shorter


def centre_square(plane: Tensor) -> Tensor:
    """Cut the largest central square out of (..., H, W), where torchvision's CenterCrop puts it."""
    height, width = plane.shape[-2:]
    side = min(height, width)
    top, left = round((height - side) / 2), round((width - side) / 2)
    return plane[..., top : top + side, left : left + side]


def shrink_picture(picture: Tensor, size: int, protocol: SizeProtocol) -> Tensor:
    """Bring a picture, (3, H, W) uint8, to the working size, in the protocol's way of resizing."""
    shape = working_shape(picture.shape[1], picture.shape[2], size)
    if protocol == "voynov_program":
        # What becomes of each byte on its way to [-1, 1] and back, each step in float32.
        there = torch.arange(256).float() / 255 * 2 - 1
        picture = ((there + 1) / 2 * 255).to(torch.uint8)[picture.long()]
    if shape == tuple(picture.shape[1:]):
        return picture
    if protocol == "text":
        return F.interpolate(picture[None], size=shape, mode="bilinear", antialias=True)[0]
    return _pillow_resized(picture.permute(1, 2, 0), shape).permute(2, 0, 1).contiguous()


def shrink_mask(mask: Tensor, size: int) -> Tensor:
    """Bring a mask, (H, W) bool, to the working size by the nearest pixel."""
    shape = working_shape(mask.shape[0], mask.shape[1], size)
    if shape == tuple(mask.shape):
        return mask
    bytes_ = mask.to(torch.uint8)[None, None]  # there is no interpolation of bool
    return F.interpolate(bytes_, size=shape, mode="nearest-exact")[0, 0].bool()


def begin_mask_size(
    probability: Tensor, shape: tuple[int, int], protocol: SizeProtocol
) -> Callable[[], Tensor]:
    """Begin to bring probabilities to the size at which they are scored; nothing waits for it.

    Args:
        probability: (N, h, w) floating point in [0, 1].
        shape: Height and width of the masks.
        protocol: Whose way of resizing.

    Returns:
        A function that waits for them, and gives (N, H, W) in [0, 1]: the same tensor where the
        sizes agree; on the CPU for ``voynov_program``, which resizes with Pillow, and otherwise on
        the same device.
    """
    if tuple(probability.shape[1:]) == shape:
        return lambda: probability
    if protocol == "voynov_program":
        copied = start_copy(probability.float().mul(255).to(torch.uint8))
        return lambda: torch.stack([_pillow_resized(p, shape) for p in copied()]).float().div(255)
    if protocol == "text":
        resized = _bilinear(probability, shape).clamp(0, 1)  # rounding may leave the range
    else:
        # Logits of the probability, not the network's: a saturated float32 bounds them at about 16.
        resized = _bilinear(torch.logit(probability.float(), eps=_SATURATED), shape).sigmoid()
    return lambda: resized


def resize_probability(probability: Tensor, mask: Tensor) -> Tensor:
    """Bring probabilities (N, h, w) in [0, 1] to the size of masks (N, H, W), to be looked at."""
    return begin_mask_size(probability, (mask.shape[1], mask.shape[2]), "text")()


def _bilinear(planes: Tensor, shape: tuple[int, int]) -> Tensor:
    return F.interpolate(planes[:, None].float(), size=shape, mode="bilinear")[:, 0]


def _pillow_resized(pixels: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resize (H, W) or (H, W, 3) bytes bilinearly with antialiasing."""
    height, width = shape
    image = Image.fromarray(pixels.contiguous().numpy())
    return torch.from_numpy(np.array(image.resize((width, height), Image.Resampling.BILINEAR)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A picture at working size and the mask that it is scored with.

    Attributes:
        index: Position in the benchmark.
        id: Name within the benchmark.
        picture: (3, h, w) uint8.
        mask: (H, W) bool; H = h and W = w unless scores are taken at the mask's own size.
        scored: (H, W) bool, False where no score is taken; None to score every pixel.
        coding: As what its mask file was read.
    """

    index: int
    id: str
    picture: Tensor
    mask: Tensor
    scored: Tensor | None = None
    coding: str = ""


def prepare(
    example: Example, index: int, protocol: SizeProtocol, size: int, *, crop: bool = False
) -> Prepared:
    """Cut and resize a picture, and the mask with it where the protocol says so.

    Args:
        example: The picture with its mask.
        index: Position in the benchmark.
        protocol: See the module.
        size: Shorter side afterwards.
        crop: Whether the benchmark's pictures are cut to a square; `voynov_program` never does.
    """
    picture, mask, scored = example.picture, example.mask, example.scored
    if crop and protocol != "voynov_program":
        picture, mask = centre_square(picture), centre_square(mask)
        scored = None if scored is None else centre_square(scored)
    picture = shrink_picture(picture, size, protocol)
    if protocol == "text":
        mask = shrink_mask(mask, size)
        scored = None if scored is None else shrink_mask(scored, size)
    return Prepared(
        index=index,
        id=example.id,
        picture=picture,
        mask=mask,
        scored=scored,
        coding=example.coding,
    )


def equal_shapes(
    benchmark: Benchmark,
    unreadable: list[str],
    *,
    protocol: SizeProtocol,
    size: int,
    batch: int,
    readers: int = 1,
) -> Iterator[list[Prepared]]:
    """Go through a benchmark in groups of equal shape, holding few pictures at a time.

    Args:
        benchmark: The pictures.
        unreadable: Takes one line for each damaged file, if the benchmark skips these.
        protocol: Evaluation protocol.
        size: Shorter side that the segmenter sees.
        batch: Pictures in a group, at most.
        readers: Threads that read while the segmenter computes.

    Yields:
        Groups that together are all readable pictures, each once.

    Raises:
        UnreadableImageError: A file is damaged and the benchmark does not skip it.
    """
    waiting: dict[tuple[torch.Size, torch.Size], list[Prepared]] = {}
    held = 0

    def read(index: int) -> Prepared | UnreadableImageError:
        try:
            example = benchmark[index]
        except UnreadableImageError as error:
            return error  # raised or listed below, in the order of the pictures
        return prepare(example, index, protocol, size, crop=benchmark.crop)

    # In the benchmark's order: the groups are a function of it alone, however many threads read.
    for prepared in _read_ahead(read, len(benchmark), readers):
        if isinstance(prepared, UnreadableImageError):
            if not benchmark.skip_bad:
                raise prepared
            unreadable.append(str(prepared))
            continue
        group = waiting.setdefault((prepared.picture.shape, prepared.mask.shape), [])
        group.append(prepared)
        held += 1
        if len(group) < batch and held < _WAITING_BATCHES * batch:
            continue
        # A full group, or else the largest of those that wait, so that memory stays bounded in a
        # set in which every picture has a shape of its own.
        key = max(waiting, key=lambda shape: len(waiting[shape]))
        full = waiting.pop(key)
        held -= len(full)
        yield full
    yield from waiting.values()


def _read_ahead(read: Callable[[int], T], count: int, readers: int) -> Iterator[T]:
    """Call a function for 0, 1, ... in threads that stay a little ahead of the results."""
    # Not the pool's `map`, which would begin all calls at once and hold all pictures.
    pool = ThreadPoolExecutor(readers, thread_name_prefix="gseg-reader")
    pending: deque[Future[T]] = deque()
    try:
        for index in range(count):
            pending.append(pool.submit(read, index))
            if len(pending) > readers * _READ_AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def chosen_pictures(benchmark: Benchmark, seed: int, first: int, count: int) -> NDArray[np.int64]:
    """Choose labelled pictures to train on, at random: other places of one order, other pictures.

    Args:
        benchmark: The labelled pictures.
        seed: Of the random order.
        first: Place of the first in it.
        count: How many.

    Returns:
        (count,) int64 numbers of pictures, all different.

    Raises:
        ValueError: There are not so many.
    """
    if first + count > len(benchmark):
        raise ValueError(
            f"{benchmark.name} has {len(benchmark):,} pictures, asked for {count:,}"
            + (f" after the first {first:,}." if first else ".")
        )
    keys = uniforms(derive_seed(seed, "labelled"), [0], len(benchmark))[0]
    return np.argsort(keys, kind="stable")[first : first + count].astype(np.int64)


def square_pairs(
    benchmark: Benchmark, numbers: NDArray[np.int64], side: int
) -> tuple[Tensor, Tensor]:
    """Read labelled pictures as training pairs, the middle square of each at one size.

    Melas-Kyriazi et al. 2022, appendix B.4, trains on 1,000 pictures of CUB with their masks. As
    for scoring there (section 4), a picture is brought to the side of the generated ones by its
    shorter side, and its middle square is kept.

    Args:
        benchmark: The labelled pictures.
        numbers: (N,) int64, N at least 1.
        side: Of the squares in pixels.

    Returns:
        Pictures (N, 3, side, side) uint8 and masks (N, side, side) bool.

    Raises:
        UnreadableImageError: A file is damaged.
    """
    pictures, masks = [], []
    codings: set[str] = set()
    for number in numbers.tolist():
        prepared = prepare(benchmark[number], number, "text", side)
        codings.add(prepared.coding)
        # Rounded down, which `centre_square` does not: another pixel here would be other training
        # pictures under the same name.
        top, left = ((length - side) // 2 for length in prepared.mask.shape)
        window = (slice(top, top + side), slice(left, left + side))
        pictures.append(prepared.picture[:, *window])
        masks.append(prepared.mask[window])
    check_codings(codings, benchmark.name)
    return torch.stack(pictures), torch.stack(masks)

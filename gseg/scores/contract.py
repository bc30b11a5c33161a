"""What a benchmark is: labelled pictures, read one at a time by their number."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A picture with its true mask.

    Attributes:
        id: Its name within the benchmark.
        picture: (3, H, W) uint8.
        mask: (H, W) bool, True is foreground. CelebAMask-HQ's masks are half as large as its
            pictures; all others have the picture's size.
        scored: (H, W) bool like the mask, False where nobody knows the truth (the void of PASCAL
            VOC); None to score every pixel.
    """

    id: str
    picture: Tensor
    mask: Tensor
    scored: Tensor | None = None


class Benchmark(Protocol):
    """What a set of labelled pictures offers; reading an example is a function of its number."""

    @property
    def name(self) -> str:
        """Name in tables, such as "scenes", "cub" or "folder:weizmann_horse"."""
        ...

    @property
    def identity(self) -> str:
        """Says which pictures these are; goes into the hash of their scores."""
        ...

    @property
    def working_size(self) -> int:
        """Shorter side in pixels at which segmenters see the pictures unless told otherwise."""
        ...

    @property
    def crop(self) -> bool:
        """Whether the papers cut the largest central square out of the pictures."""
        ...

    @property
    def skip_bad(self) -> bool:
        """Whether a file that cannot be read is listed instead of ending the scoring."""
        ...

    @property
    def bad(self) -> tuple[str, ...]:
        """What was left out when the benchmark was opened: one line for each, naming the file."""
        ...

    @property
    def from_files(self) -> bool:
        """Whether reading is decoding of files, which several threads do faster than one."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example:
        """Read an example; raises UnreadableImageError if its files are damaged."""
        ...


def checked_index(index: int, count: int) -> int:
    """Give the index back if there is such an example.

    Args:
        index: Position in the benchmark.
        count: Number of examples.

    Returns:
        The index.

    Raises:
        IndexError: There is none.
    """
    if not 0 <= index < count:
        raise IndexError(f"Example {index} of {count}.")
    return index

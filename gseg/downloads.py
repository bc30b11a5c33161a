"""What lies where a file of a user's should be, if it was not fetched as it should be.

Readers of binary files ask when they cannot read one: each library would only say that its own
mark is missing at the beginning. And what a file says of its size is compared with the one it has.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pyarrow.parquet import FileMetaData

_SNIFFED: Final = 512
_PAGES: Final = (b"<!doctype", b"<html", b"<?xml")  # XML is what object stores answer
_POINTER: Final = b"version https://git-lfs"
# Numbers and tables do not pack so well that a larger file of this many times its size is believed.
_LARGE: Final = 2**30
_MOST_PACKED: Final = 100
_CELL: Final = 8  # bytes of a value in memory, at least
_WORDS: Final = 150  # characters of another library's reason that are told


class BombError(ValueError):
    """A file would take far more memory than its size says."""


def misfetched(path: Path | str) -> str:
    """Say what a file is if it is no file of data, but what a download left in its place.

    Returns:
        A clause such as "it is a pointer of Git LFS"; empty if it may be data.
    """
    path = Path(path)
    if not path.is_file():
        return ""  # a pipe would be waited for
    try:
        with path.open("rb") as stream:
            start = stream.read(_SNIFFED).lstrip().lower()
    except OSError:
        return ""
    if not start:
        return "it is empty"
    if start.startswith(_PAGES):
        return (
            "it is a web page: the address led to a download page or was refused; open it in a "
            "browser and save the file that it offers"
        )
    if start.startswith(_POINTER):
        return "it is a pointer of Git LFS, not the file: run 'git lfs pull' where it came from"
    return ""


def check_file(path: Path) -> None:
    """Check that a path is a file that may be data.

    Raises:
        ValueError: It is missing, or `misfetched`.
    """
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file; check the path.")
    if wrong := misfetched(path):
        raise ValueError(f"{path} cannot be read: {wrong}.")


def why_unreadable(path: Path | str, error: Exception) -> str:
    """Say in a line why a library cannot read a file: `misfetched`, or its own words."""
    return misfetched(path) or " ".join(str(error).split())[:_WORDS].rstrip(".")


def check_size(path: Path | str, size: int) -> None:
    """Refuse, before memory is taken, a file that says that it needs far more than its bytes.

    Args:
        path: The file.
        size: Bytes that its own header asks for.

    Raises:
        BombError: It does.
    """
    held = Path(path).stat().st_size
    if size > _LARGE and size > _MOST_PACKED * held:
        raise BombError(
            f"{path} is refused: its {held:,} bytes unpack to {size:,}, which no such file does."
        )


def check_rows(path: Path | str, metadata: "FileMetaData") -> None:
    """Check the size of a Parquet file by its metadata, see `check_size`."""
    check_size(path, metadata.num_rows * metadata.num_columns * _CELL)

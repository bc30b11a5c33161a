"""Names by content: the same on every machine, another for other content."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

_SINCE: Final = "since"


def since(version: str, default: object) -> Any:  # noqa: ANN401 as `dataclasses.field` is typed
    """Declare a config's field that is younger than storages in which things are to be found.

    While it has its default, no name contains it: what was made before the field came keeps its
    name. So the default is what the code did before, and never changes afterwards.

    Args:
        version: Of gseg that has the field first.
        default: Its value where it is not given; immutable.
    """
    return dataclasses.field(default=default, metadata={_SINCE: version})


def digest(*parts: object) -> str:
    """Name something by its content.

    Args:
        *parts: Dataclasses, mappings, sequences, strings, numbers, booleans and None, nested.

    Returns:
        20 hexadecimal digits, the same on every machine.

    Raises:
        TypeError: A part is of another type.
    """
    text = json.dumps(canonical(list(parts)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def canonical(value: object) -> object:
    """Reduce configs to plain JSON values.

    Args:
        value: See `digest`. Fields of dataclasses that do not take part in comparisons, such as
            the place of a file whose content has a field of its own, are left out, and so are
            those of `since` that have their default.

    Returns:
        The same content in dicts, lists, strings, numbers, booleans and None.

    Raises:
        TypeError: A part is of another type.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: canonical(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.compare
            and not (_SINCE in field.metadata and getattr(value, field.name) == field.default)
        }
    if isinstance(value, Mapping):
        return {str(key): canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"Cannot name {type(value).__name__} by its content.")


def file_digest(path: Path) -> str:
    """Name a file by its content; it is read again only after it has changed.

    Args:
        path: The file.

    Returns:
        20 hexadecimal digits.

    Raises:
        OSError: It cannot be read.
    """
    status = path.stat()
    return _file_digest(path, status.st_mtime_ns, status.st_size)


@cache
def _file_digest(path: Path, _modified: int, _size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:20]

"""Functions of the user's own: ``path/to/file.py:function`` or ``package.module:function``."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from gseg.storage.checksums import file_digest
from gseg.storage.digests import digest

_FILE_MARK: Final = ".py:"


def is_callable_name(name: str) -> bool:
    """Whether a name has the form of a function's: something, a colon, and an identifier."""
    place, mark, function = name.rpartition(":")
    return bool(mark and place) and function.isidentifier()


def load_callable(name: str) -> Callable[..., Any]:
    """Import a function by its name.

    Args:
        name: ``path/to/file.py:function`` or ``package.module:function``.

    Returns:
        The function.

    Raises:
        ValueError: The file, the module or the function is not there.
    """
    place, function = _split(name)
    source = _source(name)
    own = _FILE_MARK in name
    module = _import_file(source) if own else importlib.import_module(place)
    found = getattr(module, function, None)
    if not callable(found):
        raise ValueError(f"{place} has no function '{function}': write it after the colon.")
    called: Callable[..., Any] = found
    return called


def callable_digest(name: str) -> str:
    """Name the content of the file that a function is written in.

    What that file imports does not count: a function whose weights or helpers change keeps its
    digest unless the file changes too.

    Args:
        name: See `load_callable`.

    Returns:
        The digest.

    Raises:
        ValueError: The file or the module is not there.
    """
    return file_digest(_source(name))


def absolute_callable(name: str) -> str:
    """Give a function's name as other processes find it, with the absolute path of its file."""
    place, function = _split(name)
    path = str(Path(place).expanduser().absolute()) if _FILE_MARK in name else place
    return f"{path}:{function}"


def _split(name: str) -> tuple[str, str]:
    if not is_callable_name(name):
        raise ValueError(
            f"{name!r} names no function: expected 'path/to/file.py:function' or "
            "'package.module:function'."
        )
    place, _, function = name.rpartition(":")
    return place, function


def _source(name: str) -> Path:
    """Find the file that a function is written in without running it."""
    module, _ = _split(name)
    if _FILE_MARK in name:
        if not Path(module).is_file():
            raise ValueError(f"{module}: there is no such file; check the path before the colon.")
        return Path(module)
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise ValueError(
            f"There is no module {module!r} that Python finds; check the part before the colon, "
            "or give the path of a file."
        )
    return Path(spec.origin)


def _import_file(path: Path) -> object:
    # Files of one name in two folders must not get each other's module.
    name = f"gseg_own_{path.stem}_{digest(str(path.absolute()))}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and the like look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module

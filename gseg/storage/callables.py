"""Functions of the user's own: ``path/to/file.py:function`` or ``package.module:function``.

A file may import modules that lie beside it: while it or its function runs, its folder comes first
on Python's path. They are put aside afterwards, so that files of two folders never get each
other's modules.
"""

import ast
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, wraps
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from gseg.storage.checksums import file_digest
from gseg.storage.digests import digest

_FILE_MARK: Final = ".py:"
# What a file beside another one never stands for.
_NEVER_BESIDE: Final = frozenset({"gseg", *sys.stdlib_module_names})


def is_callable_name(name: str) -> bool:
    """Whether a name has the form of a function's: something, a colon, and an identifier."""
    place, mark, function = name.rpartition(":")
    return bool(mark and place) and function.isidentifier()


def load_callable(name: str) -> Callable[..., Any]:
    """Import a function by its name.

    Args:
        name: ``path/to/file.py:function`` or ``package.module:function``.

    Returns:
        The function. Mistakes in it are raised as a ValueError of one line that says where.

    Raises:
        ValueError: The file, the module or the function is not there, or cannot be imported.
    """
    place, function = _split(name)
    source = _source(name)
    # With each reading of the file its modules are read again, too: all are of one moment.
    modules: dict[str, ModuleType] = {}
    own = _FILE_MARK in name
    files = _with_modules(source) if own else [source]
    with _own_code(name, files, modules):
        module = _import_file(source) if own else importlib.import_module(place)
    found = getattr(module, function, None)
    if not callable(found):
        raise ValueError(f"{place} has no function '{function}': write it after the colon.")

    @wraps(found)
    def called(*args: Any, **options: Any) -> Any:  # noqa: ANN401 as the function is
        with _own_code(name, files, modules):
            return found(*args, **options)

    return called


def callable_digest(name: str) -> str:
    """Name the content of the file that a function is written in.

    Modules beside a file that it imports count, too. What it reads while it runs does not, such as
    weights; of a generator these are hashed as they come out (`gseg.generators.weights`).

    Args:
        name: See `load_callable`.

    Returns:
        The digest; that of the file alone where it imports nothing that lies beside it.

    Raises:
        ValueError: The file or the module is not there, or is no Python.
    """
    source = _source(name)
    first, *others = _with_modules(source) if _FILE_MARK in name else [source]
    parts = [(str(each.relative_to(source.parent)), file_digest(each)) for each in others]
    return digest(file_digest(first), parts) if parts else file_digest(first)


def absolute_callable(name: str) -> str:
    """Give a function's name as other processes find it, with the absolute path of its file."""
    place, function = _split(name)
    if _FILE_MARK in name:
        # Links stay as they are: a file looks for its weights beside the link.
        place = os.path.normpath(Path(place).expanduser().absolute())
    return f"{place}:{function}"


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
        path = Path(module).expanduser().absolute()
        if not path.is_file():
            raise ValueError(f"{module}: there is no such file; check the path before the colon.")
        return path
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
    name = f"gseg_own_{path.stem}_{digest(str(path))}"
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


@contextmanager
def _own_code(name: str, files: Sequence[Path], modules: dict[str, ModuleType]) -> Iterator[None]:
    """Run the user's code: with its modules, and with its mistakes told in one line.

    Args:
        name: Of the function.
        files: Its file, and those of the modules beside it.
        modules: Those of these that are loaded; more may come.
    """
    folder = files[0].parent
    try:
        if _FILE_MARK not in name:
            yield
            return
        own = {each.relative_to(folder).parts[0] for each in files[1:]}
        tops = {each.removesuffix(".py") for each in own}
        # Another file's, or the running program's own, of the same names.
        aside = _take_out(tops)
        sys.modules.update(modules)
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()  # a file may be younger than what Python knows of its folder
        try:
            yield
        finally:
            with suppress(ValueError):  # the code may have changed the path
                sys.path.remove(str(folder))
            modules.update(_take_out(tops))
            sys.modules.update(aside)
    except BaseException as error:
        if not is_mistake(error):
            raise
        raise ValueError(f"{name} failed {_place(error, files)}: {one_line(error)}") from error


def _take_out(tops: set[str]) -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] in tops]
    return {name: sys.modules.pop(name) for name in names}


def is_mistake(error: BaseException) -> bool:
    """Say whether an error of the user's code is a mistake in it, not a fault of the machine."""
    if isinstance(error, OSError):
        return isinstance(error, FileNotFoundError)
    if isinstance(error, RuntimeError):  # what is told of a device and its memory is derived of it
        known = type(error) in (RuntimeError, NotImplementedError, RecursionError)
        return known and "CUDA" not in str(error)
    if isinstance(error, MemoryError) or type(error).__module__.startswith("gseg."):
        return False  # ours are written for who reads them
    return isinstance(error, Exception | SystemExit)


def _place(error: BaseException, files: Sequence[Path]) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f"in line {error.lineno} of {error.filename}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename) in files]
    return f"in line {own[-1].lineno} of {own[-1].filename}" if own else "when it was imported"


def one_line(error: BaseException) -> str:
    """Give an error's kind and words in one line."""
    told = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {' '.join(told.split())}"


def _with_modules(source: Path) -> list[Path]:
    """List a file and the modules in its folder that it imports, and those that these import."""
    found, left = {source}, [source]
    while left:
        path = left.pop()
        for parts in _imports(path, source.parent, file_digest(path)):
            stems = [source.parent.joinpath(*parts[: k + 1]) for k in range(len(parts))]
            files = [f for s in stems for f in (s.with_name(f"{s.name}.py"), s / "__init__.py")]
            new = [each for each in files if each not in found and each.is_file()]
            found.update(new)
            left += new
    return [source, *sorted(found - {source})]


@cache
def _imports(path: Path, folder: Path, _digest: str) -> frozenset[tuple[str, ...]]:
    """Read which modules that may lie in a folder a file imports, wherever it does so."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:  # a zero byte is a ValueError
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise ValueError(f"{path}{line} is no Python: {one_line(error)}") from error
    found: set[tuple[str, ...]] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(tuple(each.name.split(".")) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(folder).parts[: -node.level] if node.level else ()
            base = (*package, *(node.module or "").split("."))
            found.update((*filter(None, base), each.name) for each in node.names)
    return frozenset(parts for parts in found if parts[0] not in _NEVER_BESIDE)

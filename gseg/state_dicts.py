"""Weights as trainers write them: a state dict, or dictionaries around one or several of them.

``{"state_dict": ...}``, ``{"model": ..., "optimizer": ...}``, ``{"g": ..., "g_ema": ...}``, one
within the other, and all networks of a program in one state dict whose names begin with ``module.``
or ``generator.``. Names of entries are not believed: what fits the network is looked for, and must
be the only one that does.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from gseg.arrays import load_torch
from gseg.downloads import check_file, why_unreadable

T = TypeVar("T")
Tensors = Mapping[str, Tensor]
_DEPTH: Final = 5
# No network has fewer: the parts of a state dict that are one layer are not tried.
_FEWEST: Final = 16
_SHOWN: Final = 8
# A safetensors file begins with the length of its header, a JSON object.
_LENGTH: Final = 8


def is_safetensors(path: Path) -> bool:
    """Say whether a file has the form of safetensors, whatever its suffix."""
    with path.open("rb") as file:
        return file.read(_LENGTH + 1)[_LENGTH:] == b"{"


def read_content(path: Path) -> Any:  # noqa: ANN401 as the file has it
    """Read a file of torch.save or of safetensors; which one, its content says.

    Objects of other classes, such as settings of the program that wrote it, are passed over.

    Raises:
        ValueError: It is none, is damaged, or asks for what is not harmless.
    """
    check_file(path)
    if not is_safetensors(path):
        return load_torch(path, strangers=True)
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read: {why_unreadable(path, error)}.") from error


def fits(network: nn.Module, state: Tensors) -> bool:
    """Say whether a network has tensors of just these names and shapes."""
    wanted = {name: tensor.shape for name, tensor in network.state_dict().items()}
    return wanted == {name: tensor.shape for name, tensor in state.items()}


def choose_state(
    path: Path, content: object, fit: Callable[[dict[str, Tensor]], T | None], *, entry: str = ""
) -> tuple[dict[str, Tensor], T] | None:
    """Find the state dict in the content of a file that fits a network.

    Args:
        path: Of the file, for errors.
        content: From `read_content`.
        fit: Gives something of a state dict that fits, None of another.
        entry: Of the file, within which it must be; empty for anywhere.

    Returns:
        The only one that fits, without the beginnings that its names have in common with nothing
        in the network, and what `fit` gave; None if none does.

    Raises:
        ValueError: There is no such entry, or several fit.
    """
    found = list(_fitting(_inner(path, content, entry), fit, entry, _DEPTH))
    if len(found) > 1:
        names = ", ".join(name for name, _, _ in found[:_SHOWN])
        raise ValueError(
            f"{path} holds {len(found)} state dicts that fit ({names}): name the one that is meant "
            "(checkpoint.weights_at of a generator), or save it in a file of its own."
        )
    return found[0][1:] if found else None


def every_state(content: object, entry: str = "") -> dict[str, dict[str, Tensor]]:
    """Give all state dicts in the content of a file, or of an entry, by the names of theirs."""
    return dict(_states(content, entry, _DEPTH, set()))


def likely_state(path: Path, content: object, *, entry: str = "") -> dict[str, Tensor]:
    """Give the only state dict in the content of a file, of which to say why it does not fit.

    Raises:
        ValueError: There is none, or there are several.
    """
    content = _inner(path, content, entry)
    found = every_state(content, entry)
    if len(found) > 1:
        names = ", ".join(list(found)[:_SHOWN])
        raise ValueError(f"{path} holds {len(found)} state dicts ({names}), of which none fits.")
    if found:
        return next(iter(found.values()))
    if isinstance(content, Mapping) and content:
        names = ", ".join(map(str, list(content)[:_SHOWN]))
        raise ValueError(
            f"{path} holds more than tensors ({names}), and no state dict in it, tensors by name."
        )
    raise ValueError(
        f"{path} holds a {type(content).__name__} where a state dict, tensors by name, is "
        "expected: torch.save(network.state_dict(), FILE) writes one."
    )


def _inner(path: Path, content: object, entry: str) -> object:
    """Go to an entry, or to the part of a state dict whose names begin so."""
    for place in filter(None, entry.split(".")):
        around = content if isinstance(content, Mapping) else {}
        begins = f"{place}."
        part = {str(k)[len(begins) :]: v for k, v in around.items() if str(k).startswith(begins)}
        content = around.get(place, part)
        if not content:
            names = ", ".join(map(str, list(around)[:_SHOWN])) or "none"
            raise ValueError(f"{path} has no entry '{entry}': it has {names}.")
    return content


def _is_state(content: Mapping[Any, Any]) -> bool:
    return all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())


def _states(
    content: object, name: str, depth: int, seen: set[int]
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Give the state dicts among the entries; each once, and not those that are far within."""
    if not isinstance(content, Mapping) or not content or not depth or id(content) in seen:
        return
    seen.add(id(content))
    if _is_state(content):
        yield name, dict(content)
        return
    for key, value in content.items():
        yield from _states(value, f"{name}.{key}" if name else str(key), depth - 1, seen)


def _fitting(
    content: object,
    fit: Callable[[dict[str, Tensor]], T | None],
    name: str,
    depth: int,
) -> Iterator[tuple[str, dict[str, Tensor], T]]:
    for place, state in _states(content, name, depth, set()):
        if (made := fit(state)) is not None:
            yield place, state, made
            continue
        parts: dict[str, dict[str, Tensor]] = {}
        for key, tensor in state.items():
            first, dot, rest = key.partition(".")
            if dot:
                parts.setdefault(first, {})[rest] = tensor
        for first, part in parts.items():
            if len(part) >= _FEWEST:
                inside = f"{place}.{first}" if place else first
                yield from _fitting(part, fit, inside, depth - 1)

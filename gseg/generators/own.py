"""Generators of the user's own, beside those of the catalogue.

Either register one in the running program::

    card = GeneratorCard(name="mygan.birds64", family="MyGAN", architecture="mine",
                         dataset="birds", resolution=64, num_classes=0, latent_dim=128,
                         code_dim=128)
    register_generator(card, lambda: my_network)
    generator = load_generator("mygan.birds64")

or write a function without arguments that returns a `Generator` into a Python file and name it as
``path/to/file.py:function``. The second form also works where several processes load the generator
by its name, as sweeps do. The network is called as ``network(code, y)`` and gives (N, 3, R, R).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch
from torch import nn

from gseg.generators.contract import Generator, GeneratorCard
from gseg.storage.callables import load_callable

_REGISTERED: Final[dict[str, tuple[GeneratorCard, Callable[[], nn.Module]]]] = {}
_MARK: Final = ".py:"


def register_generator(card: GeneratorCard, make: Callable[[], nn.Module]) -> None:
    """Make a generator known to this process under its card's name.

    Args:
        card: Its description; the name must be new, or registered before and replaced.
        make: Gives the network; called each time that the generator is loaded.

    Raises:
        ValueError: The name cannot be told from a file's.
    """
    if not card.name or _MARK in card.name:
        raise ValueError(f"A generator's name must not be empty or hold '.py:', got '{card.name}'.")
    _REGISTERED[card.name] = (card, make)


def registered_cards() -> list[GeneratorCard]:
    """Describe the generators registered in this process."""
    return [card for card, _ in _REGISTERED.values()]


def own_file(name: str) -> Path | None:
    """Give the file of a name of the form ``path/to/file.py:function``, None for other names."""
    path, mark, _ = name.rpartition(_MARK)
    return Path(f"{path}.py") if mark else None


def load_own(name: str, device: torch.device | str = "cpu") -> Generator | None:
    """Load a registered generator, or one from a file.

    Args:
        name: Name of a card, or ``path/to/file.py:function``.
        device: Where to put it.

    Returns:
        The frozen generator; None if the name is neither.

    Raises:
        ValueError: The file or the function is not there, or does not give a generator.
    """
    if name in _REGISTERED:
        card, make = _REGISTERED[name]
        return Generator(make(), card).to(device)
    if own_file(name) is None:
        return None
    made = load_callable(name)()
    if not isinstance(made, Generator):
        raise ValueError(
            f"{name} gave a {type(made).__name__}, expected a gseg.generators.Generator: wrap the "
            "network as Generator(network, card)."
        )
    _try_out(made, name)
    return made.to(device)


def _try_out(generator: Generator, name: str) -> None:
    """Make one picture, since a wrong one would be told of much later."""
    card = generator.card
    label = torch.zeros(1, dtype=torch.int64, device=generator.device)
    with torch.no_grad():
        code = generator.code(torch.zeros(1, card.latent_dim, device=generator.device))
        shape = tuple(generator(code, label).shape)
    expected = (1, 3, card.resolution, card.resolution)
    if shape != expected:
        raise ValueError(
            f"{name} made a picture of shape {shape}, but its card says a resolution of "
            f"{card.resolution}: expected {expected}."
        )

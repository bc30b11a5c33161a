"""Generators of the user's own, which are tried before anything is made with them.

What is wrong in a program of one's own would not be seen in a result: pictures in [0, 1] or of
bytes, noise inside the network, so that no picture can be made twice, labels that it ignores.
"""

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor, nn

from gseg.arrays import check_finite
from gseg.exactness import exact
from gseg.generators.cards import GeneratorCard
from gseg.generators.contract import Generator, pictures_in
from gseg.randomness import labels, latents
from gseg.storage.callables import callable_digest, is_mistake, load_callable, one_line

_TRIED: Final = 4
_SEED: Final = 0
# A network without a last tanh leaves [-1, 1]; StyleGAN2's do so by that much in few pixels.
_FAR: Final = 1.5
_MOST_FAR: Final = 0.25
# Of one latent in batches of two sizes: less than three steps of a byte, for networks that compute
# in bfloat16; in float32 it is a thousandth of that.
_ROUNDING: Final = 0.02
# Names and contents that this process has tried.
_tried: Final[set[tuple[str, object]]] = set()


def own_generator(name: str) -> Generator:
    """Load a generator from ``path/to/file.py:function``.

    Raises:
        ValueError: The function is not there or fails, gives no generator, or one that is not what
            its card says.
    """
    made = load_callable(name)()
    if not isinstance(made, Generator):
        raise ValueError(
            f"{name} gave a {type(made).__name__}, expected a gseg.generators.contract.Generator: "
            "wrap the network as Generator(network, card)."
        )
    return _checked(name, made, callable_digest(name))


def registered_generator(card: GeneratorCard, make: Callable[[], nn.Module]) -> Generator:
    """Load a generator that `gseg.generators.catalogue.register_generator` was told of.

    Raises:
        ValueError: It is not what its card says.
    """
    return _checked(card.name, Generator(make(), card), make)


def _checked(name: str, generator: Generator, content: object) -> Generator:
    """Look at the weights, and once in a process at a few pictures."""
    check_finite(name, generator.state_dict())
    if (name, content) not in _tried:
        try_own(name, generator)
        _tried.add((name, content))
    return generator


@exact()
@torch.no_grad()
def try_own(name: str, generator: Generator) -> None:
    """Make a few pictures, twice, and look whether they are what a generator's are.

    Args:
        name: By which it is loaded.
        generator: On any device.

    Raises:
        ValueError: They are not; the message says what they are, and what to do.
    """
    card = generator.card
    z = latents(_SEED, range(_TRIED), card.latent_dim).to(generator.device)
    y = labels(_SEED, range(_TRIED), card.num_classes)
    y = None if y is None else y.to(generator.device)
    first = _pictures(name, generator, z, y)
    _check_range(name, first)
    if (apart := _distance(first, _pictures(name, generator, z, y))) > 0:
        raise ValueError(
            f"{name} makes other pictures of the same latents each time (they differ by up to "
            f"{apart:.2g}), so that none can be made again: fix what is random inside the network, "
            "such as its noise, in buffers beside the weights, as the StyleGAN2 of gseg does."
        )
    last = None if y is None else y[-1:]
    alone = _pictures(name, generator, z[-1:], last)
    if (apart := _distance(first[-1:], alone)) > _ROUNDING:
        raise ValueError(
            f"{name} makes another picture of a latent by itself than among {_TRIED} (they differ "
            f"by up to {apart:.2g}): make each picture independent of its neighbours, without "
            "statistics of the batch and noise that is drawn for it."
        )
    if last is not None and card.num_classes > 1:
        other = (last + 1) % card.num_classes
        if torch.equal(alone, _pictures(name, generator, z[-1:], other)):
            raise ValueError(
                f"{name} makes the same picture of the classes {int(last)} and {int(other)}, but "
                f"its card says num_classes={card.num_classes}: use the labels y in the network, "
                "or say num_classes=0."
            )


def _distance(first: Tensor, second: Tensor) -> float:
    return float((first - second).abs().max())


def _pictures(name: str, generator: Generator, z: Tensor, y: Tensor | None) -> Tensor:
    """Make pictures, and check their form."""
    card, count = generator.card, len(z)
    try:
        code = generator.code(z)
        generator.check_code(code)
        made: object = generator.network(code, y)
    except (Exception, SystemExit) as error:
        if not is_mistake(error):
            raise
        raise ValueError(
            f"{name} fails on latents of shape {tuple(z.shape)}, as its card says them: "
            f"{one_line(error)}"
        ) from error
    expected = (count, 3, card.resolution, card.resolution)
    if isinstance(made, tuple | list | Mapping):
        found = pictures_in(made, card.resolution)
        if len(found) != 1:
            raise ValueError(
                f"{name} made a {type(made).__name__} with {len(found)} tensors of pictures "
                f"{expected}, expected one: give the pictures alone, or beside other things."
            )
        (made,) = found
    if not isinstance(made, Tensor) or made.shape != expected or not made.is_floating_point():
        what = f"{made.dtype} of shape {tuple(made.shape)}" if isinstance(made, Tensor) else ""
        raise ValueError(
            f"{name} made {what or f'a {type(made).__name__}'}, but its card says a resolution of "
            f"{card.resolution}: expected floating-point pictures {expected} in [-1, 1]."
        )
    check_finite(name, {"pictures": made})
    return made.float()


def _check_range(name: str, pictures: Tensor) -> None:
    """Refuse what looks like another range than [-1, 1], for which one picture would not do."""
    low, high = float(pictures.min()), float(pictures.max())
    far = float((pictures.abs() > _FAR).float().mean())
    # Bright or clipped pictures are fine, but not a single value below middle grey in all of them.
    if low >= 0 or far > _MOST_FAR:
        hint = "2 * x - 1" if low >= 0 and high <= _FAR else "x / 127.5 - 1, if these are 0 to 255"
        seen = f"{round(low, 3):g} to {round(high, 3):g}"
        raise ValueError(
            f"{name} makes pictures whose values go from {seen}, expected about -1 (black) to 1 "
            f"(white): bring them there ({hint}) where the network ends."
        )

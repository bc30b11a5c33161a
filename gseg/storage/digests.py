"""Names by content: the same on every machine, another for other content."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from itertools import repeat
from types import UnionType
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

_T = TypeVar("_T")
_SINCE: Final = "since"
_HELD: Final = 2**63  # by columns of Arrow and arrays of NumPy


def since(version: str, default: object) -> Any:  # noqa: ANN401 as `dataclasses.field` is typed
    """Declare a config's field that is younger than storages in which things are to be found.

    The default is what the code did before, and never changes afterwards.

    Args:
        version: Of gseg that has the field first.
        default: Its value where it is not given; immutable.
    """
    return dataclasses.field(default=default, metadata={_SINCE: version})


def digest(*parts: object) -> str:
    """Name something by its content, in 20 hexadecimal digits that are the same on every machine.

    Args:
        *parts: Dataclasses, mappings, sequences, strings, numbers, booleans and None, nested.

    Raises:
        TypeError: A part is of another type.
    """
    text = json.dumps(canonical(list(parts)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def canonical(value: object) -> object:
    """Reduce what `digest` takes to plain JSON values.

    Fields of dataclasses that do not take part in comparisons, such as the place of a file whose
    content has a field of its own, are left out, and so are those of `since` that have their
    default.

    Raises:
        TypeError: A part is of another type.
        ValueError: A whole number has more than 64 bits.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: canonical(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.compare
            # What was made before a younger field came keeps its name.
            and not (_SINCE in field.metadata and getattr(value, field.name) == field.default)
        }
    if isinstance(value, Mapping):
        return {str(key): canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, int) and not -_HELD <= value < _HELD:
        raise ValueError(f"{value} is more than a row can hold: whole numbers end at {_HELD - 1}.")
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"Cannot name {type(value).__name__} by its content.")


def restore(kind: type[_T], value: Mapping[str, Any]) -> _T:
    """Rebuild a config from what `canonical` made of it.

    Args:
        kind: Its dataclass.
        value: JSON values. Fields that `canonical` leaves out may be put in before; those that are
            missing, as in what an older version wrote, take their defaults.

    Raises:
        TypeError: There are fields that the class lacks, or one without a default is missing.
        ValueError: The config does not accept the values.
    """
    hints = get_type_hints(kind)
    known = {name: _restored(hints[name], value[name]) for name in value if name in hints}
    return kind(**{**value, **known})


def _restored(hint: object, value: object) -> object:
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if isinstance(value, Mapping):
        classes = [k for k in kinds if isinstance(k, type) and dataclasses.is_dataclass(k)]
        # Of several classes that which has the fields.
        found = max(classes, key=lambda each: len(value.keys() & get_type_hints(each)))
        return restore(found, value)
    if isinstance(value, list):
        items = next(get_args(each) for each in kinds if get_origin(each) is tuple)
        hints = repeat(items[0]) if items[-1] is ... else items
        return tuple(map(_restored, hints, value))
    return value

"""Python files of a user's own: generators, encoders, functions that give masks."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from damages import FINITE, REFUSED, SAFE, SAME
from odd_base import (
    Kind,
    Special,
    distance_of,
    fid,
    gseg_run,
    rows_of,
    specials_of,
    sweep,
    text_special,
    write_set,
)

_GENERATOR: Final = """import torch
from torch import nn
from gseg.generators.cards import GeneratorCard
from gseg.generators.contract import Generator

CARD = dict(name="mine", family="Mine", architecture="mine", dataset="none", resolution=16,
            num_classes=0, latent_dim=8, code_dim=8)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(8, 3 * 256, generator=random))

    def forward(self, code, y=None):
        return torch.tanh(code @ self.weight / 4).view(-1, 3, 16, 16)

def make():
    return Generator(Net(), GeneratorCard(**CARD))
"""
_FORWARD: Final = "return torch.tanh(code @ self.weight / 4).view(-1, 3, 16, 16)"
_MADE: Final = "return Generator(Net(), GeneratorCard(**CARD))"


def _own(source: str, *files: str) -> Callable[[Path], Path]:
    def make(home: Path) -> Path:
        write_set(home / "birds")
        (home / "mine.py").write_text(source)
        return home / "mine.py"

    return make


def _instead(source: str, old: str, new: str) -> str:
    assert old in source
    return source.replace(old, new)


def _body(source: str, body: str) -> Callable[[str, str], Special]:
    """Make special inputs: another body of the function that is called."""
    return lambda new, expected: text_special(_instead(source, body, new), expected)


def _ends(special: Callable[[str, str], Special]) -> dict[str, Special]:
    """How any function may end instead of giving what it should."""
    return specials_of(
        gives_nothing=special("pass", REFUSED),
        gives_none=special("return None", REFUSED),
        gives_a_word=special("return 'here'", REFUSED),
        gives_a_number=special("return 3.5", REFUSED),
        gives_a_list=special("return [1.0, 2.0]", REFUSED),
        gives_itself=special("return print", REFUSED),
        yields=special("yield 3", REFUSED),
        raises_value_error=special("raise ValueError('I am odd')", REFUSED),
        raises_without_words=special("raise ValueError", REFUSED),
        raises_many_lines=special("raise RuntimeError('one\\ntwo\\nthree')", REFUSED),
        raises_key_error=special("return {}['absent']", REFUSED),
        raises_of_its_own=special("class Odd(Exception): pass\n    raise Odd('odd')", REFUSED),
        divides_by_zero=special("return 1 / 0", REFUSED),
        asserts=special("assert False", REFUSED),
        is_not_written=special("raise NotImplementedError", REFUSED),
        stops_iteration=special("raise StopIteration", REFUSED),
        calls_itself=special("f = lambda: f()\n    return f()", REFUSED),
        exits=special("import sys; sys.exit(0)", REFUSED),
        exits_with_words=special("import sys; sys.exit('bye')", REFUSED),
        looks_for_a_file=special("return open('absent.bin')", REFUSED),
        name_is_unknown=special("return undefined", REFUSED),
        import_is_missing=special("import nowhere_to_be_found", REFUSED),
    )


def _tops(source: str, function: str) -> dict[str, Special]:
    """What may stand in the file before and around the function."""

    def before(text: str, expected: str = SAME) -> Special:
        return text_special(f"{text}\n{source}", expected)

    def written(encoding: str, expected: str, start: str = "") -> Special:
        return text_special(f"{start}# Möwe\n{source}".encode(encoding), expected)

    return specials_of(
        syntax_error=before("def broken(:", REFUSED),
        indentation_error=before("  x = 1\n y = 2", REFUSED),
        tabs_and_spaces=before("if True:\n\tx = 1\n        y = 2", REFUSED),
        null_byte=text_special(source.encode() + b"\0", REFUSED),
        python_2=before("print 'hello'", REFUSED),
        import_that_is_missing=before("import nowhere_to_be_found", REFUSED),
        relative_import=before("from . import other", REFUSED),
        raises_when_imported=before("raise RuntimeError('no card found')", REFUSED),
        exits_when_imported=before("import sys; sys.exit(3)", REFUSED),
        asks_when_imported=before("x = input('which? ')", REFUSED),
        prints=before("print('hello from mine')"),
        writes_to_stderr=before("import sys; print('hello', file=sys.stderr)"),
        logs=before("import logging; logging.getLogger('mine').warning('hello')"),
        takes_its_time=before("import time; time.sleep(0.2)"),
        seeds_torch=before("import torch; torch.manual_seed(5)"),
        dataclass_in_it=before(
            "from __future__ import annotations\nimport dataclasses\n@dataclasses.dataclass\n"
            "class A:\n    x: int = 1"
        ),
        byte_order_mark=written("utf-8-sig", SAME),
        latin_1_undeclared=written("latin-1", SAFE),
        latin_1_declared=written("latin-1", SAME, "# -*- coding: latin-1 -*-\n"),
        utf_16=written("utf-16", REFUSED),
        ends_of_windows=text_special(source.replace("\n", "\r\n"), SAME),
        another_name=text_special(source.replace(f"def {function}(", "def other("), REFUSED),
        name_of_a_number=text_special(f"{source}\n{function} = 5\n", REFUSED),
        asynchronous=text_special(
            source.replace(f"def {function}(", f"async def {function}("), REFUSED
        ),
        wants_more=text_special(
            source.replace(f"def {function}(", f"def {function}(a, b, c, "), REFUSED
        ),
        a_lambda=text_special(
            f"{source}\nonce = {function}\n{function} = lambda *a: once(*a)\n", SAME
        ),
        only_if_main=text_special(f"if __name__ == '__main__':\n    x = 1\n{source}", SAME),
    )


def _forward(new: str, expected: str) -> Special:
    return text_special(_instead(_GENERATOR, _FORWARD, new), expected)


def _card(old: str, new: str, expected: str = REFUSED) -> Special:
    return text_special(_instead(_GENERATOR, old, new), expected)


_PICTURES: Final = "torch.tanh(code @ self.weight / 4).view(-1, 3, 16, 16)"
_OF_GENERATORS: Final = specials_of(
    gives_the_network=text_special(_instead(_GENERATOR, _MADE, "return Net()"), REFUSED),
    gives_the_class=text_special(_instead(_GENERATOR, _MADE, "return Net"), REFUSED),
    nan=_forward(f"return {_PICTURES} * float('nan')", REFUSED),
    infinity=_forward(f"return {_PICTURES} / 0", REFUSED),
    nan_for_some=_forward(
        f"x = {_PICTURES}\n        x[code[:, 0] > 0.5] = float('nan')\n        return x", REFUSED
    ),
    zero_to_one=_forward(f"return {_PICTURES} / 2 + 0.5", REFUSED),
    zero_to_255=_forward(f"return ({_PICTURES} + 1) * 127.5", REFUSED),
    bytes=_forward(f"return (({_PICTURES} + 1) * 127.5).to(torch.uint8)", REFUSED),
    far_too_large=_forward(f"return {_PICTURES} * 50", REFUSED),
    constant=_forward(f"return {_PICTURES} * 0", FINITE),
    float64=_forward(f"return {_PICTURES}.double()", SAFE),
    float16=_forward(f"return {_PICTURES}.half()", FINITE),
    one_channel=_forward(f"return {_PICTURES}[:, :1]", REFUSED),
    four_channels=_forward(f"return {_PICTURES}[:, [0, 1, 2, 2]]", REFUSED),
    channels_last=_forward(f"return {_PICTURES}.permute(0, 2, 3, 1)", REFUSED),
    flat=_forward(f"return {_PICTURES}.flatten(1)", REFUSED),
    not_square=_forward(f"return {_PICTURES}[..., :8]", REFUSED),
    smaller_than_said=_forward(f"return {_PICTURES}[..., :8, :8]", REFUSED),
    one_for_all=_forward(f"return {_PICTURES}[:1]", REFUSED),
    numpy=_forward(f"return {_PICTURES}.detach().numpy()", REFUSED),
    a_tuple=_forward(f"return {_PICTURES}, None", SAME),
    a_dictionary=_forward(f"return {{'image': {_PICTURES}, 'w': code}}", SAME),
    two_pictures=_forward(f"return {_PICTURES}, {_PICTURES}", REFUSED),
    codes_alone=_forward("return [code]", REFUSED),
    noise_inside=_forward(f"x = {_PICTURES}\n        return x * torch.rand_like(x)", REFUSED),
    little_noise=_forward(
        f"x = {_PICTURES}\n        return (x + 0.05 * torch.randn_like(x)).clamp(-1, 1)", REFUSED
    ),
    depends_on_the_batch=_forward(
        f"x = {_PICTURES}\n        return (x - x.mean(0)).tanh()", REFUSED
    ),
    raises_when_called=_forward("raise RuntimeError('no kernel for this card')", REFUSED),
    exits_when_called=_forward("import sys; sys.exit(4)", REFUSED),
    needs_another_width=_card("latent_dim=8, code_dim=8", "latent_dim=9, code_dim=9"),
    codes_of_another_width=_card("code_dim=8", "code_dim=9"),
    no_width=_card("latent_dim=8, code_dim=8", "latent_dim=0, code_dim=0"),
    resolution_of_a_word=_card("resolution=16", "resolution='16'"),
    resolution_of_nothing=_card("resolution=16", "resolution=0"),
    no_such_field=_card("num_classes=0", "num_classes=0, colour=1"),
    classes_below_zero=_card("num_classes=0", "num_classes=-3"),
    name_of_an_embedded_one=_card('name="mine"', 'name="sngan.scenes32"', FINITE),
    name_with_slashes=_card('name="mine"', 'name="../../mine"', FINITE),
    no_name=_card('name="mine"', 'name=""', FINITE),
    other_weights_each_time=text_special(
        _instead(_GENERATOR, "manual_seed(0)", "manual_seed(__import__('time').time_ns())"), REFUSED
    ),
    nan_in_the_weights=text_special(
        _instead(
            _GENERATOR,
            _MADE,
            "net = Net()\n    net.weight.data[1, 1] = float('nan')\n    "
            "return Generator(net, GeneratorCard(**CARD))",
        ),
        REFUSED,
    ),
    reads_a_file_beside=(
        lambda path: (
            (path.parent / "w.txt").write_text("7")
            and path.write_text(
                _GENERATOR + "\nimport pathlib\nassert pathlib.Path('w.txt').read_text() == '7'\n"
            )
            and None
        ),
        SAFE,
    ),
    imports_a_module_beside=(
        lambda path: (
            (path.parent / "odd_helper_beside.py").write_text("X = 1\n")
            and path.write_text(f"import odd_helper_beside\n{_GENERATOR}")
            and None
        ),
        SAME,
    ),
)

_ENCODER: Final = """import torch

def encode(x):
    return x.flatten(1)[:, :8] * 1.5
"""
_ENCODED: Final = "return x.flatten(1)[:, :8] * 1.5"
_encoder = _body(_ENCODER, _ENCODED)
_OF_ENCODERS: Final = specials_of(
    numpy=_encoder("return x.flatten(1)[:, :8].numpy()", REFUSED),
    nan=_encoder("return x.flatten(1)[:, :8] * float('nan')", REFUSED),
    infinity=_encoder("return x.flatten(1)[:, :8] / 0", REFUSED),
    narrower=_encoder("return x.flatten(1)[:, :7]", FINITE),
    no_width=_encoder("return x.flatten(1)[:, :0]", REFUSED),
    fewer=_encoder("return x.flatten(1)[1:, :8]", REFUSED),
    flat=_encoder("return x.flatten()[:8]", REFUSED),
    three_axes=_encoder("return x[:, :, 0, :8]", REFUSED),
    whole_numbers=_encoder("return x.flatten(1)[:, :8].long()", FINITE),
    truths=_encoder("return x.flatten(1)[:, :8] > 0", FINITE),
    complex_numbers=_encoder("return x.flatten(1)[:, :8] + 1j", REFUSED),
    float64=_encoder("return x.flatten(1)[:, :8].double() * 1.5", SAME),
    with_gradient=_encoder("return (x.requires_grad_().flatten(1)[:, :8] * 1.5)", SAME),
    beyond_float32=_encoder("return x.flatten(1)[:, :8].double() * 1e200", REFUSED),
    changes_its_input=_encoder("x.mul_(1.5)\n    return x.flatten(1)[:, :8]", SAME),
    a_tuple=_encoder("return x.flatten(1)[:, :8], 3", REFUSED),
    a_subclass=_encoder("return torch.nn.Parameter(x.flatten(1)[:, :8] * 1.5)", SAME),
)

_LABELLER: Final = """import torch

def bright(x):
    return x.mean(1) > 0
"""
_labelled = _body(_LABELLER, "return x.mean(1) > 0")
_OF_LABELLERS: Final = specials_of(
    probabilities=_labelled("return (x.mean(1) > 0).float()", SAME),
    float64=_labelled("return (x.mean(1) > 0).double()", SAME),
    numpy=_labelled("return (x.mean(1) > 0).numpy()", REFUSED),
    nan=_labelled("return x.mean(1) * float('nan')", REFUSED),
    one_nan=_labelled(
        "y = (x.mean(1) > 0).float()\n    y[0, 0, 0] = float('nan')\n    return y", REFUSED
    ),
    logits=_labelled("return x.mean(1) * 9", REFUSED),
    zero_to_255=_labelled("return (x.mean(1) > 0).float() * 255", REFUSED),
    bytes=_labelled("return (x.mean(1) > 0).to(torch.uint8)", REFUSED),
    bytes_of_255=_labelled("return (x.mean(1) > 0).to(torch.uint8) * 255", REFUSED),
    with_a_channel=_labelled("return (x.mean(1) > 0)[:, None]", REFUSED),
    smaller=_labelled("return (x.mean(1) > 0)[:, :8, :8]", REFUSED),
    fewer=_labelled("return (x.mean(1) > 0)[1:]", REFUSED),
    turned=_labelled("return (x.mean(1) > 0).permute(1, 2, 0)", REFUSED),
    a_tuple=_labelled("return (x.mean(1) > 0), 1", REFUSED),
    a_list=_labelled("return list(x.mean(1) > 0)", REFUSED),
    all_background=_labelled("return x.mean(1) > 99", FINITE),
    all_foreground=_labelled("return x.mean(1) > -99", FINITE),
    sparse=_labelled("return (x.mean(1) > 0).float().to_sparse()", REFUSED),
    complex_numbers=_labelled("return x.mean(1) + 1j", REFUSED),
)

# Another file that still is a program, and does the same or something else.
_CUT: Final = dict.fromkeys(("cut at 90 %", "cut at 99 %", "last byte missing"), FINITE)
_SOFT: Final = {"twice": SAME, "gzip of it": REFUSED, **_CUT}


def _code(name: str, source: str, run, result, specials: dict[str, Special]) -> Kind:
    return Kind(
        name=f"own code: {name}",
        make=_own(source),
        run=run,
        result=result,
        soft=FINITE,
        expected=_SOFT,
        specials=specials,
    )


_make = _body(_GENERATOR, _MADE)
KINDS: Final = [
    _code(
        "generator",
        _GENERATOR,
        lambda home, path: fid(home, f"{path}:make", "--count", 8),
        distance_of,
        {**_tops(_GENERATOR, "make"), **_ends(_make), **_OF_GENERATORS},
    ),
    _code(
        "encoder",
        _ENCODER,
        lambda home, path: gseg_run(
            *("embed", home / "birds" / "images", "--encoder", f"{path}:encode", "--size", 16),
            *("--out", home / "result.npy"),
        ),
        lambda home: np.load(home / "result.npy").tolist(),
        {**_tops(_ENCODER, "encode"), **_ends(_encoder), **_OF_ENCODERS},
    ),
    _code(
        "labeller",
        _LABELLER,
        lambda home, path: sweep(home, "--benchmark", "scenes:4", "--labeller", f"{path}:bright"),
        rows_of,
        {**_tops(_LABELLER, "bright"), **_ends(_labelled), **_OF_LABELLERS},
    ),
]

"""Arrays and weights: statistics, embeddings, generators, segmenters, features, directions."""

import argparse
import functools
import gzip
import io
import json
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from damages import FINITE, REFUSED, SAFE, SAME
from odd_base import (
    GENERATOR,
    Canary,
    Kind,
    Special,
    distance_of,
    fid,
    gseg_run,
    picture_of,
    pixels_of,
    quietly,
    rows_of,
    shelf,
    small_segmenter,
    specials_of,
    statistics_file,
    sweep,
    text_special,
    write_set,
)
from safetensors import safe_open
from safetensors.torch import save_file

from gseg.directions.direction import Direction
from gseg.generators.analytic import analytic_generator, known_direction
from gseg.segmenters.unet import UNet, initialise

_CASES: Final = Path(__file__).parents[1] / "data" / "generators" / "cases"
_OUT: Final = "result"


def _bytes_of(write: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def _npy(array: np.ndarray, **options: Any) -> bytes:
    return _bytes_of(lambda file: np.lib.format.write_array(file, array, **options))


def _npy_saying(shape: str, dtype: str = "<f8", data: bytes = b"\0" * 64) -> bytes:
    """A header of one's own choice."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode() + data


# ---------------------------------------------------------------- statistics


def _statistics(home: Path) -> Path:
    write_set(home / "birds")
    return Path(shutil.copy(statistics_file(), home / "known.npz"))


def _with(**changes: Any) -> Callable[[Path], None]:
    """Change arrays of a .npz: a function of the old one, a value, or None to leave it out."""

    def change(path: Path) -> None:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        for name, new in changes.items():
            old = arrays.pop(name, None)
            if new is not None:
                arrays[name] = new(old) if callable(new) else np.asarray(new)
        np.savez(path, **arrays)

    return change


def _put(value: float, place: Any = 3) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        new = array.astype(np.result_type(array, type(value)))
        new[place] = value
        return new

    return change


def _member(name: str, content: bytes) -> Callable[[Path], None]:
    """Replace a member of a .npz by these bytes."""

    def change(path: Path) -> None:
        with zipfile.ZipFile(path) as old:
            parts = {each: old.read(each) for each in old.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
            for each, data in {**parts, name: content}.items():
                new.writestr(each, data)

    return change


@functools.cache
def _zeros() -> bytes:
    """2 GiB of zeros in 9 MB."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
        new.open("mu.npy", "w", force_zip64=True) as file,
    ):
        file.write(_npy_saying(f"({2**28},)", data=b""))
        for _ in range(2**7):
            file.write(bytes(2**24))
    return buffer.getvalue()


def _again(path: Path, save: Callable[..., None] = np.savez, only: tuple[str, ...] = ()) -> None:
    with np.load(path) as file:
        arrays = {name: file[name] for name in only or file.files}
    save(path, **arrays)


_OBJECTS: Final = np.array([Canary(), Canary()], dtype=object)
_STATISTICS: Final = Kind(
    name="statistics: .npz",
    make=_statistics,
    run=lambda home, path: fid(home, home / "birds" / "images", reference=path),
    result=distance_of,
    specials=specials_of(
        suffix_in_capitals=(lambda path: path.rename(path.with_suffix(".NPZ")), SAME),
        mu_and_sigma_alone=(lambda path: _again(path, only=("mu", "sigma")), SAME),
        compressed=(lambda path: _again(path, np.savez_compressed), SAME),
        more_arrays=(_with(extra=np.ones(3)), SAME),
        order_of_fortran=(_with(sigma=np.asfortranarray), SAME),
        float32=(_with(sigma=lambda a: a.astype(np.float32)), FINITE),
        float16=(_with(mu=lambda a: a.astype(np.float16)), FINITE),
        big_endian=(_with(mu=lambda a: a.astype(">f8")), SAME),
        no_sigma=(_with(sigma=None), REFUSED),
        other_names=(_with(mean=np.ones(4), cov=np.eye(4), mu=None, sigma=None), REFUSED),
        nan_in_mu=(_with(mu=_put(np.nan)), REFUSED),
        infinity_in_mu=(_with(mu=_put(np.inf)), REFUSED),
        nan_in_sigma=(_with(sigma=_put(np.nan)), REFUSED),
        infinity_in_sigma=(_with(sigma=_put(-np.inf, (2, 2))), REFUSED),
        sigma_is_not_symmetric=(_with(sigma=_put(9.0, (0, 5))), REFUSED),
        sigma_is_negative=(_with(sigma=lambda a: -a), REFUSED),
        sigma_is_a_vector=(_with(sigma=np.ones(9)), REFUSED),
        sigma_is_smaller=(_with(sigma=lambda a: a[:9, :9]), REFUSED),
        fewer_features=(_with(mu=np.zeros(8), sigma=np.eye(8), kept_vectors=None), REFUSED),
        mu_is_a_row=(_with(mu=lambda a: a[None]), REFUSED),
        mu_is_a_number=(_with(mu=3.0), REFUSED),
        complex_numbers=(_with(mu=lambda a: a + 1j), REFUSED),
        words=(_with(mu=lambda a: a.astype(str)), REFUSED),
        dates=(_with(mu=lambda a: a.astype("datetime64[s]")), REFUSED),
        objects=(_with(mu=_OBJECTS), REFUSED),
        features_are_objects=(_with(features=_OBJECTS), REFUSED),
        other_features=(_with(features="inception"), REFUSED),
        count_is_negative=(_with(count=-5), REFUSED),
        count_is_zero=(_with(count=0), REFUSED),
        count_is_one=(_with(count=1), REFUSED),
        count_is_a_fraction=(_with(count=12.5), REFUSED),
        count_is_nan=(_with(count=np.nan), REFUSED),
        count_is_a_word=(_with(count="many"), REFUSED),
        count_is_two=(_with(count=np.array([12, 12])), REFUSED),
        count_is_huge=(_with(count=2**62), SAFE),
        nan_in_vectors=(_with(kept_vectors=_put(np.nan, (1, 2))), REFUSED),
        fewer_vectors_than_indices=(_with(kept_vectors=lambda a: a[:3]), REFUSED),
        narrower_vectors=(_with(kept_vectors=lambda a: a[:, :3]), REFUSED),
        flat_vectors=(_with(kept_vectors=lambda a: a.reshape(-1)), REFUSED),
        indices_descend=(_with(kept_indices=lambda a: a[::-1]), SAFE),
        indices_beyond=(_with(kept_indices=lambda a: a + 100), REFUSED),
        indices_twice=(_with(kept_indices=lambda a: a * 0), REFUSED),
        indices_below_zero=(_with(kept_indices=lambda a: a - 5), REFUSED),
        indices_as_floats=(_with(kept_indices=lambda a: a + 0.5), REFUSED),
        one_array_alone=(lambda path: path.write_bytes(_npy(np.ones(4))) and None, REFUSED),
        says_a_trillion=(_member("mu.npy", _npy_saying("(1000000000000,)")), REFUSED),
        says_less_than_nothing=(_member("mu.npy", _npy_saying("(-4,)")), REFUSED),
        header_with_code=(
            _member("mu.npy", _npy_saying("(__import__('os').system('true'),)")),
            REFUSED,
        ),
        two_gibibytes_of_zeros=(lambda path: path.write_bytes(_zeros()) and None, REFUSED),
        a_zip_of_words=(_member("mu.npy", b"hello"), REFUSED),
    ),
)

# ---------------------------------------------------------------- embeddings


def _embeddings(home: Path) -> Path:
    home.mkdir()
    table = np.random.default_rng(0).normal(size=(6, _width())).astype(np.float32)
    np.save(home / "latents.npy", table)
    return home / "latents.npy"


@functools.cache
def _width() -> int:
    return int(analytic_generator(16).card.latent_dim)


def _beside(home: Path) -> Path:
    path = _embeddings(home)
    _write_beside(path.with_suffix(".parquet"), json.dumps({"generator": GENERATOR, "skipped": []}))
    return path.with_suffix(".parquet")


def _write_beside(path: Path, header: str | bytes) -> None:
    table = pa.table({"picture": [f"{number}.png" for number in range(6)]})
    pq.write_table(table.replace_schema_metadata({b"gseg.embeddings": header}), path)


def _near(home: Path, path: Path) -> int:
    words = (
        "--count",
        8,
        "--embeddings",
        path.with_suffix(".npy") if path.suffix == ".parquet" else path,
    )
    return fid(home, GENERATOR, *words)


def _array(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return lambda path: np.save(path, change(np.load(path)))


def _raw(content: Callable[[np.ndarray], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content(np.load(path))) and None


_EMBEDDINGS: Final = [
    Kind(
        name="embeddings: .npy",
        make=_embeddings,
        run=_near,
        result=distance_of,
        soft=FINITE,
        specials=specials_of(
            suffix_in_capitals=(lambda path: path.rename(path.with_suffix(".NPY")), SAME),
            float64=(_array(lambda a: a.astype(np.float64)), SAME),
            float16=(_array(lambda a: a.astype(np.float16)), FINITE),
            big_endian=(_array(lambda a: a.astype(">f4")), SAME),
            order_of_fortran=(_array(np.asfortranarray), SAME),
            long_double=(_array(lambda a: a.astype(np.longdouble)), SAFE),
            version_2=(_raw(lambda a: _npy(a, version=(2, 0))), SAME),
            version_3=(_raw(lambda a: _npy(a, version=(3, 0))), SAFE),
            nan=(_array(_put(np.nan, (2, 1))), REFUSED),
            infinity=(_array(_put(-np.inf, (5, 0))), REFUSED),
            all_nan=(_array(lambda a: a * np.nan), REFUSED),
            huge_numbers=(_array(lambda a: (a * 1e30).astype(np.float32)), FINITE),
            beyond_float32=(_array(lambda a: a.astype(np.float64) * 1e200), REFUSED),
            whole_numbers=(_array(lambda a: a.astype(np.int64)), REFUSED),
            truths=(_array(lambda a: a > 0), REFUSED),
            complex_numbers=(_array(lambda a: a + 1j), REFUSED),
            words=(_array(lambda a: a.astype(str)), REFUSED),
            records=(_array(lambda a: np.zeros(6, [("a", "f4"), ("b", "f4")])), REFUSED),
            objects=(lambda path: np.save(path, _OBJECTS, allow_pickle=True), REFUSED),
            a_row=(_array(lambda a: a[0]), REFUSED),
            three_axes=(_array(lambda a: a[None]), REFUSED),
            a_number=(_array(lambda a: a[0, 0]), REFUSED),
            no_rows=(_array(lambda a: a[:0]), REFUSED),
            no_width=(_array(lambda a: a[:, :0]), REFUSED),
            narrower=(_array(lambda a: a[:, :-1]), REFUSED),
            wider=(_array(lambda a: np.hstack([a, a])), REFUSED),
            turned=(_array(lambda a: a.T), REFUSED),
            more_behind_it=(lambda path: path.write_bytes(path.read_bytes() + b"x") and None, SAFE),
            says_a_trillion=text_special(_npy_saying("(1000000000000, 4)", "<f4"), REFUSED),
            says_less_than_nothing=text_special(_npy_saying("(-6, 4)", "<f4"), REFUSED),
            says_words=text_special(_npy_saying("('a', 4)", "<f4"), REFUSED),
            header_never_ends=text_special(b"\x93NUMPY\2\0\xff\xff\xff\x7f{", REFUSED),
            version_9=text_special(b"\x93NUMPY\x09\0v\0" + b" " * 118, REFUSED),
            a_npz=(lambda path: np.savez(path.open("wb"), a=np.ones((6, 4))), REFUSED),
            a_pickle=(lambda path: path.write_bytes(pickle.dumps(Canary())) and None, REFUSED),
            csv=text_special("0.1,0.2\n0.3,0.4\n", REFUSED),
        ),
    ),
    Kind(
        name="embeddings: .parquet beside",
        make=_beside,
        run=_near,
        result=distance_of,
        hard=SAFE,
        free=False,
        specials=specials_of(
            another_generator=(
                lambda path: _write_beside(path, json.dumps({"generator": "sngan.scenes32"})),
                REFUSED,
            ),
            no_generator=(lambda path: _write_beside(path, "{}"), SAME),
            header_is_no_json=(lambda path: _write_beside(path, "{"), SAFE),
            header_is_a_list=(lambda path: _write_beside(path, "[1]"), SAFE),
            header_is_null=(lambda path: _write_beside(path, "null"), SAFE),
            header_is_no_utf_8=(lambda path: _write_beside(path, b"\xff\xfe{}"), SAFE),
            generator_is_null=(
                lambda path: _write_beside(path, json.dumps({"generator": None})),
                SAFE,
            ),
            generator_is_a_list=(
                lambda path: _write_beside(path, json.dumps({"generator": ["a"]})),
                REFUSED,
            ),
        ),
    ),
]

# ---------------------------------------------------------------- weights of generators


def _weights(case: str, name: str, family: str) -> Callable[[Path], Path]:
    def make(home: Path) -> Path:
        home.mkdir()
        (source,) = (
            each for each in (_CASES / case).iterdir() if each.suffix not in (".json", ".npz")
        )
        content = source.read_bytes()
        (home / name).write_bytes(gzip.decompress(content) if source.suffix == ".gz" else content)
        (home / "family").write_text(family)
        return home / name

    return make


_LOADING: Final = """from gseg.generators.checkpoints import from_checkpoint

def make():
    return from_checkpoint({path!r}, {{"family": {family!r}}})
"""


def _generate(home: Path, path: Path) -> int:
    family = (home / "family").read_text()
    source = _LOADING.format(path=str(path), family=family)
    (home / "gen.py").write_text(source)
    return fid(home, f"{home / 'gen.py'}:make", "--count", 4)


def _state(change: Callable[[dict[str, Any]], Any], **options: Any) -> Callable[[Path], None]:
    """Change the tensors of a file of torch.save."""

    def write(path: Path) -> None:
        content = torch.load(path, weights_only=True)
        inner = next((each for each in ("state_dict", "generator") if each in content), None)
        state = content if inner is None else content[inner]
        new = change(dict(state))
        if inner is not None and isinstance(new, dict):
            new = {**content, inner: new}
        torch.save(new, path, **options)

    return write


def _tensor(change: Callable[[torch.Tensor], Any], nth: int = 0) -> Callable[[dict], dict]:
    def apply(state: dict[str, Any]) -> dict[str, Any]:
        numbers = {name: each for name, each in state.items() if each.is_floating_point()}
        floats = [name for name, each in numbers.items() if each.ndim > 1] or list(numbers)
        return {**state, floats[nth]: change(state[floats[nth]])}

    return apply


def _each(change: Callable[[torch.Tensor], Any]) -> Callable[[dict], dict]:
    return lambda state: {name: change(each) for name, each in state.items()}


def _with_number(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(tensor: torch.Tensor) -> torch.Tensor:
        new = tensor.clone(memory_format=torch.contiguous_format)
        new.view(-1)[1] = value
        return new

    return change


def _less(state: dict[str, Any]) -> dict[str, Any]:
    return dict(list(state.items())[1:])


def _a_pickle(protocol: int) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(pickle.dumps({"a": Canary()}, protocol)) and None


def _reference_of_torch(path: Path) -> None:
    """A file in torch's zip form whose pickle runs code."""
    torch.save({"state_dict": {"a": torch.zeros(2)}, "more": Canary()}, path)


def _around(write: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Write something around the tensors of a file of torch.save."""

    def change(path: Path) -> None:
        content = torch.load(path, weights_only=True)
        inner = next((each for each in ("state_dict", "generator") if each in content), None)
        torch.save(write(content if inner is None else content[inner]), path)

    return change


def _circle(state: dict[str, Any]) -> dict[str, Any]:
    content = {"net": state, "epoch": 3}
    return {**content, "self": [content], "again": content}


def _begun(state: dict[str, Any], beginning: str) -> dict[str, Any]:
    return {f"{beginning}{name}": tensor for name, tensor in state.items()}


def _in_capitals(path: Path) -> Path:
    return path.rename(path.with_suffix(path.suffix.upper()))


def _nested(path: Path) -> None:
    """A pickle of 100 levels, each twice the one before."""
    content: Any = ["lol"]
    for _ in range(100):
        content = [content, content]
    path.write_bytes(pickle.dumps(content, 2))


_TENSORS: Final = specials_of(
    nan=(_state(_tensor(_with_number(np.nan))), REFUSED),
    infinity=(_state(_tensor(_with_number(np.inf))), REFUSED),
    nan_in_another=(_state(_tensor(_with_number(np.nan), 1)), REFUSED),
    all_nan=(_state(_each(lambda t: t * float("nan") if t.is_floating_point() else t)), REFUSED),
    float64=(_state(_each(lambda t: t.double() if t.is_floating_point() else t)), FINITE),
    float16=(_state(_each(lambda t: t.half() if t.is_floating_point() else t)), FINITE),
    whole_numbers=(_state(_tensor(lambda t: t.long())), FINITE),
    truths=(_state(_tensor(lambda t: t > 0)), FINITE),
    complex_numbers=(_state(_tensor(lambda t: t + 1j)), REFUSED),
    sparse=(_state(_tensor(lambda t: t.to_sparse())), REFUSED),
    one_missing=(_state(_less), REFUSED),
    one_more=(_state(lambda state: {**state, "extra.weight": torch.ones(2)}), SAFE),
    another_shape=(_state(_tensor(lambda t: t[..., :-1])), REFUSED),
    no_axes=(_state(_tensor(lambda t: t.sum())), REFUSED),
    empty_tensor=(_state(_tensor(lambda t: t[:0])), REFUSED),
    wrapped=(_state(lambda state: {f"module.{name}": each for name, each in state.items()}), SAME),
    other_names=(_state(lambda state: {f"x{n}": t for n, t in enumerate(state.values())}), REFUSED),
    numbers_as_names=(_state(lambda state: dict(enumerate(state.values()))), REFUSED),
    in_a_dictionary=(_around(lambda state: {"model": state, "epoch": 3}), SAME),
    in_two_dictionaries=(_around(lambda state: {"a": 1, "nets": {"ema": state, "b": []}}), SAME),
    among_other_networks=(
        _around(lambda state: {**_begun(state, "net."), "loss.weight": torch.ones(2)}),
        SAME,
    ),
    twice_in_it=(
        _around(lambda state: {"g": {n: t + 1 for n, t in state.items()}, "g_ema": state}),
        REFUSED,
    ),
    there_again=(_around(_circle), SAME),
    settings_beside_it=(
        _around(lambda state: {"state_dict": state, "args": argparse.Namespace(lr=1)}),
        SAME,
    ),
    suffix_in_capitals=(_in_capitals, SAME),
    suffix_of_archives=(lambda path: path.rename(path.with_suffix(".pth.tar")), SAME),
    no_suffix=(lambda path: path.rename(path.with_suffix("")), SAME),
    before_torch_1_6=(_state(dict, _use_new_zipfile_serialization=False), SAME),
    lists_in_place_of_tensors=(_state(_tensor(lambda t: t.tolist())), REFUSED),
    arrays_in_place_of_tensors=(_state(_tensor(lambda t: t.numpy())), SAFE),
    nothing_in_it=(_state(lambda state: {}), REFUSED),
    a_list=(_state(lambda state: [1, 2]), REFUSED),
    a_tensor=(_state(lambda state: torch.ones(3)), REFUSED),
    none=(_state(lambda state: None), REFUSED),
    says_a_trillion=(
        _state(_tensor(lambda t: torch.zeros(1).expand(10**6, 10**6))),
        REFUSED,
    ),
    a_pickle_with_code=(_a_pickle(2), REFUSED),
    a_pickle_with_code_of_protocol_4=(_a_pickle(4), REFUSED),
    code_beside_the_weights=(_reference_of_torch, REFUSED),
    a_thousand_laughs=(_nested, REFUSED),
    safetensors=(lambda path: save_file({"a": torch.ones(2)}, path), REFUSED),
    a_zip_of_something=(
        lambda path: zipfile.ZipFile(path, "w").writestr("a/data.pkl", b"hello"),
        REFUSED,
    ),
)


def _pickled(old: bytes, new: bytes) -> Callable[[Path], None]:
    """Replace bytes of a pickle by as many."""
    return lambda path: path.write_bytes(path.read_bytes().replace(old, new)) and None


def _plain_pickle(content: Any, protocol: int = 4) -> Special:
    return (lambda path: path.write_bytes(pickle.dumps(content, protocol)) and None), REFUSED


_PICKLES: Final = specials_of(
    code=_plain_pickle({"G_ema": Canary()}),
    code_of_protocol_2=_plain_pickle({"G_ema": Canary()}, 2),
    code_beside=_plain_pickle({"G_ema": None, "D": Canary()}),
    another_entry=_plain_pickle({"G": {"a": 1}}),
    a_list=_plain_pickle([1, 2]),
    a_number=_plain_pickle(5),
    another_module=(_pickled(b"torch_utils.persistence", b"torch_utils.persistencx"), REFUSED),
    another_function=(_pickled(b"_rebuild_tensor_v2", b"_rebuild_tensor_v9"), REFUSED),
    another_entry_of_the_same_length=(_pickled(b"G_ema", b"G_emb"), REFUSED),
    a_thousand_laughs=(_nested, REFUSED),
    persistent_identity=text_special(b"\x80\x04\x8c\x03idx\x51.", REFUSED),
    says_a_gibibyte=text_special(b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x.", REFUSED),
    memo_that_is_huge=text_special(b"\x80\x04Nr\xff\xff\xff\x7f.", REFUSED),
    a_file_of_torch=(lambda path: torch.save({"G_ema": torch.ones(2)}, path), REFUSED),
    of_tensorflow=text_special(b"cdnnlib.tflib.network\nNetwork\n(tR.", REFUSED),
    of_stylegan3=_plain_pickle({"src": "class SynthesisInput(", "size": np.ones(2)}),
    of_rosinality=(
        lambda path: torch.save(
            {"g_ema": {"conv1.conv.modulation.weight": torch.ones(2)}, "latent_avg": 1}, path
        ),
        REFUSED,
    ),
    suffix_in_capitals=(_in_capitals, SAME),
    gzip_in_a_gzip=(
        lambda path: path.write_bytes(gzip.compress(gzip.compress(path.read_bytes()))) and None,
        REFUSED,
    ),
)


def _weights_kind(name: str, case: str, file: str, family: str, specials: dict) -> Kind:
    return Kind(
        name=f"weights: {name}",
        make=_weights(case, file, family),
        run=_generate,
        result=distance_of,
        soft=FINITE,
        specials=specials if specials is _PICKLES else {**specials, **_READ_OFF},
    )


# Sizes are read off the tensors: it is another network then.
_READ_OFF: Final = {"another shape": (_state(_tensor(lambda t: t[..., :-1])), FINITE)}
_WEIGHTS: Final = [
    _weights_kind(
        *("ACGAN .pth", "acgan-tinyimagenet64-studiogan-current", "acgan.pth", "acgan", _TENSORS)
    ),
    _weights_kind(
        *(
            "BigGAN .bin",
            "biggan-tinyimagenet64-studiogan-current",
            "biggan.bin",
            "biggan",
            _TENSORS,
        )
    ),
    _weights_kind(
        *("UncondGAN .pt", "uncondgan-imagenet128-resnet2", "uncond.pt", "uncondgan", _TENSORS)
    ),
    _weights_kind(
        *("StyleGAN2 .pkl", "stylegan2-res64-ada_pytorch", "cats.pkl", "stylegan2", _PICKLES)
    ),
]

# ---------------------------------------------------------------- segmenters


def _model(suffix: str, write: Callable[[Path], object]) -> Callable[[Path], Path]:
    def make(home: Path) -> Path:
        write_set(home / "birds")
        write(home / f"model{suffix}")
        return home / f"model{suffix}"

    return make


def _segment_with(home: Path, path: Path) -> int:
    return gseg_run(*("segment", home / "birds" / "images", "--out", home / _OUT, "--model", path))


def _facts(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Change what stands in the header of a segmenter's file; None to leave it out."""

    def write(path: Path) -> None:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            facts = json.loads(file.metadata()["gseg.segmenter"])
        new = change(facts)
        text = new if isinstance(new, str) else json.dumps(new)
        save_file(tensors, path, metadata=None if new is None else {"gseg.segmenter": text})

    return write


def _fact(name: str, value: object) -> Callable[[Path], None]:
    return _facts(lambda facts: {**facts, name: value})


def _told(name: str, value: object) -> Callable[[Path], None]:
    return _facts(lambda facts: {**facts, "provenance": {**facts["provenance"], name: value}})


def _safe(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata()
        changed = {key: value.contiguous() for key, value in change(tensors).items()}
        save_file(changed, path, metadata=metadata)

    return write


def _header(text: str, size: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if size is None else size) + text.encode()


SAFETENSORS: Final = specials_of(
    nan=(_safe(_tensor(_with_number(np.nan))), REFUSED),
    infinity=(_safe(_tensor(_with_number(-np.inf))), REFUSED),
    one_missing=(_safe(_less), REFUSED),
    one_more=(_safe(lambda state: {**state, "extra": torch.ones(2)}), REFUSED),
    another_shape=(_safe(_tensor(lambda t: t[..., :1])), REFUSED),
    float16=(_safe(_each(lambda t: t.half() if t.is_floating_point() else t)), FINITE),
    float64=(_safe(_each(lambda t: t.double() if t.is_floating_point() else t)), FINITE),
    bytes_in_place_of_floats=(_safe(_tensor(lambda t: t.to(torch.int8))), SAFE),
    header_that_is_huge=text_special(_header("{}", 2**60), REFUSED),
    header_of_a_gibibyte=text_special(_header("{}", 2**30), REFUSED),
    header_that_is_no_json=text_special(_header("{'a': 1}"), REFUSED),
    header_that_is_a_list=text_special(_header("[]"), REFUSED),
    header_without_tensors=text_special(_header("{}"), REFUSED),
    offsets_beyond=text_special(
        _header('{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'), REFUSED
    ),
    says_a_trillion=text_special(
        _header('{"a":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4]}}') + b"\0" * 4,
        REFUSED,
    ),
    a_file_of_torch=(lambda path: torch.save({"a": torch.ones(2)}, path), REFUSED),
    a_pickle=(lambda path: path.write_bytes(pickle.dumps(Canary())) and None, REFUSED),
)


class _Settings:
    """An object of a class of one's own, as Lightning keeps beside the weights."""


def _lightning(path: Path) -> None:
    state = small_segmenter().network.state_dict()
    content = {
        "state_dict": {f"net.{name}": each for name, each in state.items()},
        "hyper_parameters": {"lr": 0.1},
        "epoch": 3,
    }
    torch.save(content, path)


def _network(**sizes: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        network = UNet(**sizes)
        initialise(network, 0)
        torch.save(network.state_dict(), path)

    return write


_PUBLIC: Final = specials_of(
    three_logits=(_network(width=4, depth=2, out_channels=3), REFUSED),
    one_logit=(_network(width=4, depth=2, out_channels=1), REFUSED),
    four_channels=(_network(width=4, depth=2, in_channels=4), REFUSED),
)
_SEGMENTERS: Final = [
    Kind(
        name="segmenter: .safetensors",
        make=_model(".safetensors", lambda path: small_segmenter().save(path)),
        run=_segment_with,
        result=lambda home: pixels_of(home / _OUT),
        soft=FINITE,
        specials={
            **SAFETENSORS,
            **specials_of(
                another_width=(_fact("width", 8), REFUSED),
                width_of_a_million=(_fact("width", 10**6), REFUSED),
                width_of_zero=(_fact("width", 0), REFUSED),
                width_is_true=(_fact("width", True), REFUSED),
                another_depth=(_fact("depth", 3), REFUSED),
                depth_of_a_billion=(_fact("depth", 10**9), REFUSED),
                depth_below_zero=(_fact("depth", -1), REFUSED),
                resolution_is_a_word=(_told("resolution", "32"), REFUSED),
                resolution_below_zero=(_told("resolution", -32), REFUSED),
                resolution_of_a_million=(_told("resolution", 10**6), REFUSED),
                resolution_is_a_fraction=(_told("resolution", 32.5), SAFE),
                resolution_is_a_list=(_told("resolution", [32]), REFUSED),
                no_facts=(_facts(lambda facts: None), REFUSED),
                facts_are_no_json=(_facts(lambda facts: "{"), REFUSED),
                facts_are_a_list=(_facts(lambda facts: [1]), REFUSED),
                facts_without_width=(_facts(lambda facts: {"depth": 2}), REFUSED),
                no_provenance=(_fact("provenance", None), REFUSED),
            ),
        },
    ),
    Kind(
        name="segmenter: .ckpt of Lightning",
        make=_model(".ckpt", _lightning),
        run=_segment_with,
        result=lambda home: pixels_of(home / _OUT),
        soft=FINITE,
        specials={**_TENSORS, **_PUBLIC, "code beside the weights": (_reference_of_torch, REFUSED)},
    ),
    Kind(
        name="segmenter: .pth",
        make=_model(".pth", lambda path: torch.save(small_segmenter().network.state_dict(), path)),
        run=_segment_with,
        result=lambda home: pixels_of(home / _OUT),
        soft=FINITE,
        specials={**_TENSORS, **_PUBLIC},
    ),
]

# ---------------------------------------------------------------- feature networks


@functools.cache
def _blank(kind: str) -> Path:
    """Weights of a whole network in a small file: of each tensor one number is stored."""
    if kind == "resnet50":
        from torchvision.models import resnet50

        network = resnet50(weights=None)
    else:
        from gseg.features.networks import InceptionNetwork

        network = InceptionNetwork()
    rng = torch.Generator().manual_seed(0)

    def one(tensor: torch.Tensor) -> torch.Tensor:
        number = torch.rand((), generator=rng) * 0.02 + 0.01
        return number.to(tensor.dtype).expand(tensor.shape)

    file = shelf() / f"{kind}.pth"
    torch.save({name: one(each) for name, each in network.state_dict().items()}, file)
    return file


def _features(kind: str) -> Kind:
    def make(home: Path) -> Path:
        picture_of(home)
        return Path(shutil.copy(_blank(kind), home / f"{kind}.pth"))

    def run(home: Path, path: Path) -> int:
        words = ("--nearest", home / "birds" / "images", "--nearest-candidates", 16)
        features = ("--nearest-features", f"{kind}:{path}")
        return sweep(home, "--benchmark", "scenes:4", *words, *features)

    chosen = ("nan", "infinity", "one missing", "one more", "another shape", "other names")
    more = ("a pickle with code", "code beside the weights", "a list", "none", "a tensor", "sparse")
    return Kind(
        name=f"features: {kind}:FILE",
        make=make,
        run=run,
        result=rows_of,
        slow=True,
        soft=FINITE,
        specials={name: _TENSORS[name] for name in (*chosen, *more)},
    )


# ---------------------------------------------------------------- directions


def _direction(name: str) -> Callable[[Path], Path]:
    def make(home: Path) -> Path:
        vector = known_direction(analytic_generator(16))
        curves = {"loss": torch.linspace(1, 0, 5)}
        found = Direction(
            lighter=vector, darker=-vector, provenance={"generator": GENERATOR}, losses=curves
        )
        found.save(home / "direction")
        return home / "direction" / name

    return make


def _draw(home: Path, _: Path) -> int:
    words = ("--count", 4, "--batch", 8, "--out", home / "storage", "--filters", "none")
    return gseg_run("samples", "draw", GENERATOR, "--direction", home / "direction", *words)


def _samples(home: Path) -> list[object]:
    out = home / "exported"
    (folder,) = (home / "storage" / "samples").iterdir()
    quietly(lambda: gseg_run("samples", "export", folder, "--out", out))
    return pixels_of(out)


def _vectors(**changes: Any) -> Callable[[Path], None]:
    def change(state: dict[str, Any]) -> dict[str, Any]:
        for name, new in changes.items():
            old = state.pop(name, None)
            if new is not None:
                state[name] = new(old) if callable(new) else new
        return state

    return _safe(change)


def _direction_kind(name: str, specials: dict[str, Special], hard: str) -> Kind:
    return Kind(
        name=f"direction: {name}",
        make=_direction(name),
        run=_draw,
        result=_samples,
        hard=hard,
        soft=FINITE,
        free=False,
        specials=specials,
    )


_DIRECTIONS: Final = [
    _direction_kind(
        "direction.safetensors",
        specials_of(
            nan=(_vectors(lighter=_with_number(np.nan)), REFUSED),
            infinity=(_vectors(darker=_with_number(np.inf)), REFUSED),
            twice_as_long=(_vectors(lighter=lambda t: 2 * t), REFUSED),
            of_length_zero=(_vectors(lighter=lambda t: 0 * t), REFUSED),
            narrower=(_vectors(lighter=torch.ones(1), darker=-torch.ones(1)), REFUSED),
            wider=(
                _vectors(lighter=torch.eye(99)[0], darker=torch.eye(99)[1]),
                REFUSED,
            ),
            of_two_lengths=(_vectors(darker=torch.ones(1)), REFUSED),
            two_axes=(_vectors(lighter=lambda t: t[None], darker=lambda t: t[None]), REFUSED),
            no_darker=(_vectors(darker=None), REFUSED),
            one_more=(_vectors(extra=torch.ones(2)), REFUSED),
            float64=(_vectors(lighter=torch.Tensor.double), FINITE),
            float16=(_vectors(lighter=torch.Tensor.half), FINITE),
            whole_numbers=(_vectors(lighter=torch.Tensor.long), REFUSED),
            operators_of_another_shape=(_vectors(operators=torch.ones(2, 2)), REFUSED),
            operators_with_nan=(_vectors(operators=torch.full((1, 2, 3, 4), np.nan)), REFUSED),
            header_that_is_huge=SAFETENSORS["header that is huge"],
            says_a_trillion=SAFETENSORS["says a trillion"],
            a_pickle=SAFETENSORS["a pickle"],
        ),
        REFUSED,
    ),
    _direction_kind(
        "direction.json",
        specials_of(
            a_list=text_special("[1]", REFUSED),
            a_number=text_special("3", REFUSED),
            null=text_special("null", REFUSED),
            nothing_in_it=text_special("{}", SAME),
            byte_order_mark=text_special(b"\xef\xbb\xbf{}", SAFE),
            utf_16=text_special("{}".encode("utf-16"), SAFE),
            latin_1=text_special('{"by": "Möwe"}'.encode("latin-1"), REFUSED),
            nan=text_special('{"loss": NaN}', SAFE),
            another_generator=text_special('{"generator": "sngan.scenes32"}', SAFE),
            generator_is_a_number=text_special('{"generator": 5}', SAFE),
        ),
        SAFE,
    ),
    _direction_kind(
        "losses.parquet",
        specials_of(
            words=(lambda path: pq.write_table(pa.table({"loss": ["a", "b"]}), path), SAFE),
            lists=(lambda path: pq.write_table(pa.table({"loss": [[1.0], []]}), path), SAFE),
            no_columns=(lambda path: pq.write_table(pa.table({}), path), SAFE),
            nothing_known=(
                lambda path: pq.write_table(pa.table({"loss": [None, None]}), path),
                SAFE,
            ),
            csv=text_special("loss\n1\n", REFUSED),
        ),
        SAFE,
    ),
]

KINDS: Final = [
    *(_STATISTICS, *_EMBEDDINGS, *_WEIGHTS, *_SEGMENTERS),
    *(_features("resnet50"), _features("inception"), *_DIRECTIONS),
]

"""gseg/arrays.py: what is refused, and where it is said to be."""

import resource
import struct
import zipfile

import numpy as np
import pytest
import torch

from gseg.arrays import check_finite, load_numpy, load_torch


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_the_array_and_the_row_are_named(bad, kind):
    whole = np.ones((5, 4), kind)
    for array in (whole, torch.from_numpy(whole.copy())):
        check_finite("f.npy", {"rows": array})
        array[3, 1] = array[4, 2] = bad
        told = r"f\.npy: 'rows' holds NaN or infinity \(2 of 20 numbers, the first in row 3 of 5\)"
        with pytest.raises(ValueError, match=told):
            check_finite("f.npy", {"other": torch.zeros(2), "rows": array})


def test_large_numbers_integers_and_nothing_are_fine():
    large = torch.full((3,), 3e38)  # whose sum is infinite
    half = torch.full((100,), 60_000.0, dtype=torch.float16)
    numbers = torch.arange(3)
    check_finite("f", {"a": large, "b": half, "c": numbers, "d": torch.zeros(0), "e": np.zeros(0)})
    check_finite(
        "f", {"a": np.full(100, 60_000, np.float16), "b": torch.zeros((), dtype=torch.bool)}
    )


def test_numbers_without_rows_and_other_kinds():
    with pytest.raises(ValueError, match=r"'a' holds NaN or infinity \(1 of 1 numbers\)"):
        check_finite("f", {"a": torch.tensor(float("nan"))})
    with pytest.raises(ValueError, match="first in row 1 of 2"):
        check_finite("f", {"a": torch.tensor([1, float("nan")], dtype=torch.bfloat16)})


def test_a_running_variance_is_not_negative():
    check_finite("f", {"norm.running_var": torch.zeros(3), "norm.running_mean": -torch.ones(3)})
    with pytest.raises(ValueError, match=r"f: the variances 'norm\.running_var' are negative"):
        check_finite("f", {"norm.running_var": torch.tensor([1.0, -0.1])})


def _saying(shape, descr="<f8"):
    """The header of a .npy file of one's own choice."""
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode()


def _packed(path, name, head=b"", gibibytes=2):
    """Zeros that take a thousandth of their size, in a zip file."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
        new.open(name, "w", force_zip64=True) as file,
    ):
        file.write(head)
        for _ in range(gibibytes * 2**6):
            file.write(bytes(2**24))


@pytest.fixture
def peak():
    """Say by how much memory has ever been more than now, in bytes."""

    def now():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    before = now()
    return lambda: now() - before


@pytest.mark.parametrize(("name", "read"), [("mu.npy", load_numpy), ("archive/data/0", load_torch)])
def test_what_unpacks_to_far_more_than_its_size_is_not_unpacked(name, read, tmp_path, peak):
    path = tmp_path / "bomb"
    _packed(path, name, _saying(f"({2**28},)"))
    with pytest.raises(ValueError, match=r"bomb is refused: its [\d,]+ bytes unpack to 2,147,"):
        read(path)
    assert peak() < 2**28


@pytest.mark.parametrize("mapped", [True, False])
def test_an_array_that_says_more_than_its_file_holds_takes_no_memory(mapped, tmp_path, peak):
    path = tmp_path / "large.npy"
    path.write_bytes(_saying(f"({2**31}, 4)") + bytes(64))
    with pytest.raises(ValueError, match=r"large\.npy cannot be read as a file of NumPy"):
        load_numpy(path, mapped=mapped)
    assert peak() < 2**28


def test_words_of_numpy_about_running_what_is_in_a_file_reach_nobody(tmp_path):
    np.save(tmp_path / "o.npy", np.array([{}]), allow_pickle=True)
    np.savez(tmp_path / "o.npz", a=np.array([{}], dtype=object))
    (tmp_path / "o.txt").write_text("hello")
    for name in ("o.npy", "o.npz", "o.txt"):
        with pytest.raises(ValueError, match=f"{name} cannot be read") as caught:
            load_numpy(tmp_path / name)
        assert "pickle" not in str(caught.value)

import numpy as np
import pytest
import torch

from gseg.transfers import pack_bits, send, start_copy, start_mask_copy


@pytest.mark.parametrize("pixels", [1, 7, 8, 33, 256])
def test_bits_are_packed_as_numpy_does(pixels):
    rows = torch.rand(5, pixels, generator=torch.Generator().manual_seed(0)) < 0.4
    np.testing.assert_array_equal(pack_bits(rows).numpy(), np.packbits(rows.numpy(), axis=1))


def test_nothing_is_copied_on_the_cpu():
    values = torch.arange(4.0)
    assert send(values, torch.device("cpu")) is values
    assert start_copy(values)().data_ptr() == values.data_ptr()
    masks = torch.ones(2, 3, 5, dtype=torch.bool)
    assert start_mask_copy(masks)().base is not None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_what_arrives_is_what_was_sent():
    masks = torch.rand(6, 9, 7, generator=torch.Generator().manual_seed(0)) < 0.4
    device = torch.device("cuda")
    there = send(masks, device)
    np.testing.assert_array_equal(start_mask_copy(there)(), masks.numpy())
    assert torch.equal(start_copy(there)(), masks)

"""What the other tests marked `gpu` take for granted of the card and of their fixtures."""

from contextlib import nullcontext

import pytest
import torch

pytestmark = pytest.mark.gpu


def test_float32_is_not_rounded_to_tf32(device):
    draw = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 512, 512, generator=draw).to(device).unbind()
    x = torch.randn(4, 64, 32, 32, generator=draw).to(device)
    w = torch.randn(64, 64, 3, 3, generator=draw).to(device)
    for found, exact in (
        (a @ b, a.double() @ b.double()),
        (torch.conv2d(x, w), torch.conv2d(x.double(), w.double())),
    ):
        # An H100 gives 3e-7 and 1e-6; with TF32 three hundred times as much.
        assert (found - exact).abs().max() < 1e-5 * exact.abs().max()


def test_a_transposed_convolution_gives_the_same_bits_twice(device):
    # As in BigGAN's blocks. On an H100 cuDNN adds its products in any order unless it is forbidden.
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(16, 256, 16, 16, generator=draw).to(device)
    w = torch.randn(256, 128, 4, 4, generator=draw).to(device)
    for layout in (torch.contiguous_format, torch.channels_last):
        x, w = x.to(memory_format=layout), w.to(memory_format=layout)
        first = torch.conv_transpose2d(x, w, stride=2, padding=1)
        for _ in range(5):
            assert torch.equal(torch.conv_transpose2d(x, w, stride=2, padding=1), first)


def test_waiting_for_the_card_is_noticed_and_waiting_for_an_event_is_not(device, forbid_waiting):
    values = torch.ones(3, device=device)
    on_card = device.type == "cuda"
    noticed = pytest.raises(RuntimeError, match="synchroniz") if on_card else nullcontext()
    with forbid_waiting():
        if on_card:
            done = torch.cuda.Event()
            done.record()
            done.synchronize()
        with noticed:
            assert values.sum().item() == 3
    assert values.sum().item() == 3  # allowed again

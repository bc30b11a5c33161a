import subprocess
import sys
import threading

import pytest
import torch

from gseg.exactness import device_identity, exact

CUDNN, MATMUL = torch.backends.cudnn, torch.backends.cuda.matmul
NEWER = hasattr(torch.backends, "fp32_precision")


def _read(switch):
    try:
        return switch()
    except RuntimeError:  # where older and newer switches disagree
        return "mixed"


def _state():
    found = [
        _read(lambda: CUDNN.allow_tf32),
        _read(lambda: MATMUL.allow_tf32),
        _read(torch.get_float32_matmul_precision),
        CUDNN.deterministic,
    ]
    if NEWER:
        places = (CUDNN.conv, CUDNN.rnn, CUDNN, MATMUL, torch.backends)
        found += [place.fp32_precision for place in places]
    return found + _of_cpu()


def _of_cpu():
    mkldnn = torch.backends.mkldnn
    places = (mkldnn, mkldnn.conv, mkldnn.matmul) if NEWER else ()
    return [place.fp32_precision for place in places]


def _rounds():
    if NEWER:
        return "tf32" in (
            CUDNN.conv.fp32_precision,
            CUDNN.rnn.fp32_precision,
            MATMUL.fp32_precision,
        )
    return CUDNN.allow_tf32 or MATMUL.allow_tf32


def test_pytorch_rounds_unless_it_is_told_otherwise():
    assert _rounds()


USERS = {
    "nothing": "",
    "convolutions off": "torch.backends.cudnn.allow_tf32 = False",
    "products on": "torch.backends.cuda.matmul.allow_tf32 = True",
    "products high": "torch.set_float32_matmul_precision('high')",
    "products medium": "torch.set_float32_matmul_precision('medium')",
    "a fixed order": "torch.backends.cudnn.deterministic = True",
}
NEWER_USERS = {
    "all on, newer": "torch.backends.fp32_precision = 'tf32'",
    "cuDNN on, newer": "torch.backends.cudnn.fp32_precision = 'tf32'",
    "convolutions off, newer": "torch.backends.cudnn.conv.fp32_precision = 'ieee'",
    "recurrent off, newer": "torch.backends.cudnn.rnn.fp32_precision = 'ieee'",
    "products on, newer": "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
    "both": "torch.backends.fp32_precision = 'tf32'; torch.backends.cudnn.allow_tf32 = False",
}


def test_whatever_a_user_set_is_off_inside_and_put_back():
    """In a process of its own: some of these switches cannot be brought back to the start."""
    users = USERS | (NEWER_USERS if NEWER else {})
    script = "\n".join(
        [
            "import os, sys, torch",
            "sys.path.insert(0, sys.argv[1])",
            "from test_exactness import _of_cpu, _rounds, _state, exact",
            f"for name, setting in {users!r}.items():",
            "    if os.fork():",
            "        assert os.wait()[1] == 0, name",
            "        continue",
            "    exec(setting)",
            "    before, cpu = _state(), _of_cpu()",
            "    with exact():",
            "        assert not _rounds() and torch.backends.cudnn.deterministic, _state()",
            "        assert _of_cpu() == cpu",
            "    assert _state() == before, (before, _state())",
            "    os._exit(0)",
        ]
    )
    folder = __file__.rpartition("/")[0]
    ran = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_it_is_put_back_after_an_error_too():
    before = _state()

    @exact()
    def fails():
        assert not _rounds()
        raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            fails()
        assert _state() == before


def test_nobody_rounds_while_another_thread_is_inside():
    before, entered, left, seen = _state(), threading.Event(), threading.Event(), []

    def other():
        with exact():
            entered.set()
            left.wait()
            seen.append(_rounds())

    thread = threading.Thread(target=other)
    with exact():
        thread.start()
        entered.wait()
    assert not _rounds()  # the other is inside still
    assert CUDNN.deterministic
    left.set()
    thread.join()
    assert seen == [False]
    assert _state() == before


def test_names_on_a_gpu_say_so():
    assert device_identity("cpu") == "cpu"
    assert device_identity("cuda") == "cuda exact"

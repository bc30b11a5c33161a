"""Direction files of the official programs are read without running what is in them."""

import os
from pathlib import Path

import pytest
import torch

from gseg.directions.official import direction_from_official, read_official_vector

# Saved with torch.save(dict(state_dict={"d": (1, 12)}, iteration=300, cfg=<OmegaConf>)).
LATEST = Path(__file__).parents[1] / "data" / "directions" / "latest.pth"


def test_latest_file_with_its_configuration_is_read() -> None:
    vector = read_official_vector(LATEST)
    assert vector.shape == (12,)
    assert vector.norm().item() == pytest.approx(1)
    expected = torch.tensor([-0.0442, 0.2365, 0.2848, -0.3352])
    torch.testing.assert_close(vector[:4], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("zipped", [True, False])
def test_bare_tensor_is_read_and_normalised(tmp_path: Path, zipped: bool) -> None:
    raw = torch.randn(1, 120, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "bg_direction.pth"
    torch.save(raw, path, _use_new_zipfile_serialization=zipped)
    torch.testing.assert_close(read_official_vector(path), raw[0] / raw.norm())


def test_two_files_make_a_direction_and_one_is_mirrored() -> None:
    both = direction_from_official(LATEST, LATEST, generator="bigbigan.imagenet128")
    assert both.cosine == pytest.approx(1)
    one = direction_from_official(LATEST, generator="bigbigan.imagenet128")
    assert one.cosine == pytest.approx(-1)
    assert one.provenance["darker_file"] is None


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return (os.mkdir, (str(self.marker),))


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    marker, path = tmp_path / "ran", tmp_path / "latest.pth"
    torch.save({"state_dict": {"d": torch.ones(1, 3)}, "cfg": Malicious(marker)}, path)
    with pytest.raises(ValueError, match="latest"):
        read_official_vector(path)
    assert not marker.exists()


def test_other_content_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": {"conv.weight": torch.ones(2)}}, path)
    with pytest.raises(ValueError, match=r"weights\.pth holds no direction"):
        read_official_vector(path)
    torch.save(torch.ones(3, 4), path)
    with pytest.raises(ValueError, match=r"\(3, 4\)"):
        read_official_vector(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"Cannot read direction file .*weights\.pth"):
        read_official_vector(path)
    with pytest.raises(ValueError, match="missing"):
        read_official_vector(tmp_path / "missing.pth")

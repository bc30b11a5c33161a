import torch
from PIL import Image

from gseg.reports.figures import SheetRow, generator_sheet


def test_a_sheet_shows_a_sample_and_a_benchmark_picture(tmp_path):
    dark, light = torch.full((3, 8, 8), -1.0), torch.full((3, 8, 8), 1.0)
    row = SheetRow(
        picture=dark,
        lighter=light,
        darker=dark,
        mask=torch.ones(8, 8, dtype=torch.bool),
        benchmark=torch.zeros(3, 6, 12, dtype=torch.uint8),
        truth=torch.zeros(6, 12, dtype=torch.bool),
        prediction=torch.full((6, 12), 0.5),
    )
    generator_sheet(tmp_path / "a.png", [row, row], tile=32)
    with Image.open(tmp_path / "a.png") as image:
        sheet = image.convert("L")
    assert sheet.size == (7 * 36 + 4, 20 + 2 * 36 + 4)
    middles = [sheet.getpixel((4 + 16 + column * 36, 24 + 16)) for column in range(7)]
    assert middles == [0, 255, 0, 255, 0, 0, 128]

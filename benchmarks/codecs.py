"""How pictures of samples can be stored: size, encoding and decoding time of each codec.

Lossless ones, and JPEG of quality 95; a shard of pictures at a time, on one thread, in CPU time.
What Parquet itself compresses (raw bytes) is written to and read from a Parquet file in memory, as
shards are; what an image codec compresses is encoded picture by picture.

Pictures: those that the embedded generators draw (32 px), scenes rendered at 64 and 128 px, which
are smoother than a photograph, and, where the folder is given, photographs. Real generated
pictures of 128 px lie in between.

    python benchmarks/codecs.py [--photographs FOLDER]
"""

import argparse
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from PIL import Image

from gseg.generators.catalogue import list_generators, load_generator
from gseg.images import to_uint8
from gseg.picture_files import read_image
from gseg.samples.config import LatentConfig
from gseg.samples.latents import candidates
from gseg.scenes.pictures import render

Pictures = NDArray[np.uint8]
Codec = tuple[Callable[[Pictures], Any], Callable[[Any], Pictures], Callable[[Any], int]]


def raw(compression: str, level: int | None, *, planes: bool = False) -> Codec:
    """Raw bytes of the pictures as a Parquet column."""

    def encode(pictures: Pictures) -> bytes:
        stored = pictures.transpose(0, 3, 1, 2) if planes else pictures
        rows = np.ascontiguousarray(stored).reshape(len(pictures), -1)
        values = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(rows.shape[1]), len(rows), [None, pa.py_buffer(rows)]
        )
        sink = io.BytesIO()
        pq.write_table(
            pa.table({"picture": values}),
            sink,
            compression=compression,
            compression_level=level,
            use_dictionary=False,
            write_statistics=False,
        )
        return sink.getvalue()

    def decode(content: bytes) -> Pictures:
        column = pq.read_table(io.BytesIO(content), use_threads=False)["picture"]
        array = column.combine_chunks()
        side = round((array.type.byte_width / 3) ** 0.5)
        values = np.frombuffer(array.buffers()[1], dtype=np.uint8)
        if planes:
            return values.reshape(-1, 3, side, side).transpose(0, 2, 3, 1)
        return values.reshape(-1, side, side, 3)

    return encode, decode, len


def opencv(suffix: str, *options: int) -> Codec:
    """One file for each picture, by OpenCV."""

    def encode(pictures: Pictures) -> list[bytes]:
        return [
            cv2.imencode(suffix, np.ascontiguousarray(each[..., ::-1]), options)[1].tobytes()
            for each in pictures
        ]

    def decode(files: Sequence[bytes]) -> Pictures:
        return np.stack(
            [cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR) for file in files]
        )[..., ::-1]

    return encode, decode, lambda files: sum(map(len, files))


def pillow(**options: Any) -> Codec:
    """One file for each picture, by Pillow."""

    def encode(pictures: Pictures) -> list[bytes]:
        files = []
        for each in pictures:
            buffer = io.BytesIO()
            Image.fromarray(each).save(buffer, **options)
            files.append(buffer.getvalue())
        return files

    def decode(files: Sequence[bytes]) -> Pictures:
        return np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in files])

    return encode, decode, lambda files: sum(map(len, files))


def codecs() -> dict[str, Codec]:
    png, jpeg = cv2.IMWRITE_PNG_COMPRESSION, cv2.IMWRITE_JPEG_QUALITY
    return {
        "raw": raw("none", None),
        "raw + lz4": raw("lz4", None),
        "raw + zstd 1": raw("zstd", 1),
        "raw + zstd 9": raw("zstd", 9),
        "raw planes + zstd 1": raw("zstd", 1, planes=True),
        "PNG (OpenCV, level 1)": opencv(".png", png, 1),
        "PNG (Pillow, level 6)": pillow(format="PNG"),
        "WebP lossless (Pillow)": pillow(format="WEBP", lossless=True, quality=0, method=0),
        "JPEG q95 (OpenCV)": opencv(".jpg", jpeg, 95),
        "JPEG q95 (Pillow)": pillow(format="JPEG", quality=95),
    }


@torch.inference_mode()
def generated(count: int) -> Pictures:
    """Pictures of the embedded generators, as many of each."""
    cards = list_generators("embedded")
    parts = []
    for card in cards:
        z, y = candidates(card, LatentConfig(), 0, np.arange(count // len(cards)))
        generator = load_generator(card.name)
        parts.append(to_uint8(generator(generator.code(z), y)))
    return torch.cat(parts).permute(0, 2, 3, 1).contiguous().numpy()


def scenes(side: int, count: int) -> Pictures:
    """Rendered scenes."""
    return render(range(count), resolution=side).pictures.permute(0, 2, 3, 1).contiguous().numpy()


def photographs(folder: Path, side: int, count: int) -> Pictures:
    """Centre squares of photographs, reduced."""
    crops = []
    for path in sorted(folder.rglob("*.*"))[:count]:
        pixels = read_image(path).permute(1, 2, 0).numpy()
        short = min(pixels.shape[:2])
        top, left = (pixels.shape[0] - short) // 2, (pixels.shape[1] - short) // 2
        square = pixels[top : top + short, left : left + short]
        crops.append(cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA))
    return np.stack(crops)


def best_seconds(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def table(title: str, pictures: Pictures, repeats: int) -> None:
    count, side = len(pictures), pictures.shape[1]
    plain = pictures.nbytes
    print(f"\n{title}, {side} px, {count} pictures")
    print(
        f"{'codec':<24} {'bytes':>7} {'of raw':>7} {'encode µs':>10} {'decode µs':>10} {'exact':>6}"
    )
    for name, (encode, decode, size) in codecs().items():
        stored = encode(pictures)
        encoding = best_seconds(lambda e=encode: e(pictures), repeats) / count
        decoding = best_seconds(lambda d=decode, s=stored: d(s), repeats) / count
        exact = "yes" if np.array_equal(decode(stored), pictures) else "no"
        print(
            f"{name:<24} {size(stored) / count:>7.0f} {size(stored) / plain:>7.2f} "
            f"{1e6 * encoding:>10.1f} {1e6 * decoding:>10.1f} {exact}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=Path, metavar="FOLDER")
    parser.add_argument("--count", type=int, default=384, help="pictures; about a shard")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    pa.set_cpu_count(1)
    table("embedded generators", generated(options.count), options.repeats)
    for side in (64, 128):
        table("scenes", scenes(side, options.count), options.repeats)
        if options.photographs is not None:
            pictures = photographs(options.photographs, side, options.count)
            table("photographs", pictures, options.repeats)


if __name__ == "__main__":
    main()

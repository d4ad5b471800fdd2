#!/usr/bin/env python3
"""Writes pictures of every kind that is decoded, a few hundred bytes each, for fuzzing to start from.

    pip install numpy==2.4.6 pillow==13.0.0
    python fuzz/make_pictures.py DIRECTORY

Needs jpegtran of libjpeg-turbo for arithmetic coding and restart markers.
"""

import io
import pathlib
import subprocess
import sys

import numpy as np
from PIL import Image

SIZE = (19, 13)


def photo(mode: str) -> Image.Image:
    noise = np.random.default_rng(7).integers(0, 60, (SIZE[1], SIZE[0], 4))
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    waves = np.stack([x * 9, y * 12, (x + y) * 6, 255 - x * 5], axis=-1)
    pixels = np.clip(waves + noise, 0, 255).astype(np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    return Image.fromarray(pixels, "RGBA").convert(mode)


def encoded(picture: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def jpegtran(jpeg: bytes, *options: str) -> bytes:
    return subprocess.run(["jpegtran", *options], input=jpeg, capture_output=True, check=True).stdout


def pictures():
    exif = Image.Exif()
    exif[274] = 6
    for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        name = subsampling.replace(":", "")
        jpeg = encoded(photo("RGB"), "JPEG", quality=60, subsampling=subsampling, exif=exif)
        yield f"{name}.jpg", jpeg
        yield f"{name}_progressive.jpg", jpegtran(jpeg, "-progressive", "-copy", "all")
        yield f"{name}_arithmetic.jpg", jpegtran(jpeg, "-arithmetic")
        yield f"{name}_arithmetic_progressive.jpg", jpegtran(jpeg, "-arithmetic", "-progressive")
        yield f"{name}_restart.jpg", jpegtran(jpeg, "-restart", "1B")
        yield f"{name}_turned.jpg", jpegtran(jpeg, "-transpose")
    yield "gray.jpg", encoded(photo("L"), "JPEG", quality=40)
    yield "gray_progressive.jpg", encoded(photo("L"), "JPEG", quality=40, progressive=True)
    yield "cmyk.jpg", encoded(photo("CMYK"), "JPEG", quality=40)
    yield "cmyk_progressive.jpg", encoded(photo("CMYK"), "JPEG", quality=40, progressive=True)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        yield f"{mode.replace(';', '')}.png", encoded(photo(mode), "PNG")
    yield "palette_transparent.png", encoded(photo("P"), "PNG", transparency=3, bits=4)
    yield "gray_transparent.png", encoded(photo("L"), "PNG", transparency=3)
    yield "profile.png", encoded(photo("RGB"), "PNG", icc_profile=b"no profile" * 9, exif=exif)


directory = pathlib.Path(sys.argv[1])
directory.mkdir(parents=True, exist_ok=True)
for file, data in pictures():
    (directory / file).write_bytes(data)

#!/usr/bin/env python3
"""Writes resized/: what Pillow and OpenCV make of small pictures, and of some real ones.

    pip install numpy==2.4.6 pillow==13.0.0 opencv-python-headless==5.0.0.93
    python testdata/make_resize_cases.py [--seed N --count N --out DIR --ipp]

cases.txt and cases.bin: the small pictures. The PNG files: real pictures by ways of their own.

A line of cases.txt is `filter channels source_width source_height width height seed`; the source
pixels come from a generator that the test repeats, so only results are stored, one after another,
in cases.bin. Intel's library, which OpenCV's x86-64 wheels use for INTER_CUBIC, is off unless asked
for: its results differ by up to 1 from OpenCV's own.
"""

import argparse
import pathlib

import cv2
import numpy as np
from PIL import Image, ImageOps

FILTERS = {
    "pillow-nearest": Image.Resampling.NEAREST,
    "pillow-bilinear": Image.Resampling.BILINEAR,
    "pillow-bicubic": Image.Resampling.BICUBIC,
    "pillow-lanczos": Image.Resampling.LANCZOS,
    "opencv-nearest": cv2.INTER_NEAREST,
    "opencv-linear": cv2.INTER_LINEAR,
    "opencv-cubic": cv2.INTER_CUBIC,
    "opencv-area": cv2.INTER_AREA,
}

# source width and height, width and height: both ways, odd, one pixel, whole factors, extremes.
SHAPES = [
    (1, 1, 5, 3), (1, 1, 1, 1), (5, 1, 2, 7), (1, 9, 4, 2), (2, 2, 1, 1), (3, 3, 1, 1),
    (40, 24, 20, 12), (41, 25, 20, 12), (60, 36, 20, 12), (40, 30, 10, 15), (64, 48, 8, 8),
    (50, 40, 50, 20), (50, 40, 25, 40), (17, 13, 34, 26), (17, 13, 51, 39), (20, 20, 21, 19),
    (200, 3, 7, 3), (3, 200, 3, 7), (300, 2, 1, 9), (7, 5, 40, 3), (33, 31, 32, 32), (90, 70, 37, 41),
]  # fmt: skip


def picture(width, height, channels, seed):
    """Bytes of a linear congruential generator (Knuth's MMIX constants); by the seed's last bits
    as they are, or only the two extremes, in runs of 1 to 4."""
    state = seed
    data = bytearray()
    while len(data) < width * height * channels:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        value = state >> 56
        if seed % 3 == 1:
            value = 255 if value >= 128 else 0
        run = 1 + (state >> 48) % 4 if seed % 3 == 2 else 1
        data += bytes([value]) * run
    data = np.frombuffer(bytes(data[: width * height * channels]), np.uint8)
    return data.reshape((height, width) if channels == 1 else (height, width, channels))


def resized(name, pixels, size):
    if name.startswith("pillow"):
        return np.asarray(Image.fromarray(pixels).resize(size, FILTERS[name]))
    return cv2.resize(pixels, size, interpolation=FILTERS[name])


def load(name):
    path = pathlib.Path(__file__).parent / "images" / name
    return ImageOps.exif_transpose(Image.open(path))


def letterbox(pixels, width, height, pad):
    """Ultralytics' LetterBox (auto off, scale-up on), with cv2.INTER_LINEAR."""
    ratio = min(height / pixels.shape[0], width / pixels.shape[1])
    inner = round(pixels.shape[1] * ratio), round(pixels.shape[0] * ratio)
    dw, dh = (width - inner[0]) / 2, (height - inner[1]) / 2
    top, bottom, left, right = round(dh - 0.1), round(dh + 0.1), round(dw - 0.1), round(dw + 0.1)
    pixels = cv2.resize(pixels, inner, interpolation=cv2.INTER_LINEAR)
    border = cv2.BORDER_CONSTANT
    return cv2.copyMakeBorder(pixels, top, bottom, left, right, border, value=pad)


def on_white(picture):
    background = Image.new("RGB", picture.size, (255, 255, 255))
    background.paste(picture.convert("RGB"), mask=picture.getchannel("A"))
    return background


def pictures(out):
    """Ways that the reference pictures do not cover, under the names the test reads."""
    lanczos, bicubic = Image.Resampling.LANCZOS, Image.Resampling.BICUBIC
    save = lambda name, picture: picture.save(out / f"{name}.png", optimize=True)
    save("astronaut_cmyk__pil_bicubic_64x64", load("astronaut_cmyk.jpg").convert("RGB").resize((64, 64), bicubic))
    save("chelsea_alpha__white_pil_lanczos_80x60", on_white(load("chelsea_alpha.png")).resize((80, 60), lanczos))
    save("chelsea_exif8__gray_pil_bicubic_48x64", load("chelsea_exif8.jpg").convert("L").resize((48, 64), bicubic))
    for name, pad in (("parrot.jpg", (114, 114, 114)), ("cat_720p.jpg", (0, 64, 255))):
        boxed = letterbox(np.asarray(load(name).convert("RGB")), 97, 97, pad)
        save(f"{name.split('.')[0]}__letterbox_cv2_linear_97x97", Image.fromarray(boxed))
    for method, flag in (("cubic", cv2.INTER_CUBIC), ("area", cv2.INTER_AREA)):
        small = cv2.resize(np.asarray(load("coffee.png").convert("RGB")), (75, 50), interpolation=flag)
        save(f"coffee__cv2_{method}_75x50", Image.fromarray(small))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=0, help="random shapes besides the fixed ones")
    parser.add_argument("--side", type=int, default=100, help="longest random side")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "resized")
    parser.add_argument("--ipp", action="store_true", help="OpenCV with Intel's library")
    args = parser.parse_args()
    cv2.ipp.setUseIPP(args.ipp)
    random = np.random.default_rng(args.seed)
    shapes = list(SHAPES)
    for _ in range(args.count):
        shapes.append(tuple(int(v) for v in random.integers(1, args.side + 1, 4)))
    lines, results = [], bytearray()
    for name in FILTERS:
        for index, (source_width, source_height, width, height) in enumerate(shapes):
            channels = 3 if index % 2 else 1
            seed = args.seed * 100000 + index
            pixels = picture(source_width, source_height, channels, seed)
            lines.append(f"{name} {channels} {source_width} {source_height} {width} {height} {seed}")
            results += resized(name, pixels, (width, height)).tobytes()
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "cases.txt").write_text("\n".join(lines) + "\n")
    (args.out / "cases.bin").write_bytes(results)
    pictures(args.out)
    print(f"{len(lines)} cases, {len(results)} bytes")


if __name__ == "__main__":
    main()

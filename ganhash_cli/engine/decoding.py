"""Image files → RGB: the one canonical decode, part of every model's fingerprint; the only opener of image files."""

from __future__ import annotations

import hashlib
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from io import BytesIO
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from ganhash_cli.engine import wording
from ganhash_cli.engine.parallel import Budget

T = TypeVar("T")
Room = Callable[[int], AbstractContextManager[None]]

DECODE_VERSION = 1
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
MAX_PIXELS = 64_000_000
# Decoded at once, on however many processors: no more than the largest image alone. Small ones are not counted.
_large = Budget(MAX_PIXELS)
_SMALL_PIXELS = 1_000_000
# At the most while it is decoded: picture, RGB and, in some formats, copies of their decoder. Any other: 9.
_BYTES_A_PIXEL = {"WEBP": 17, "AVIF": 13}
_STRIP_PIXELS = 1_000_000  # converted at a time, where that takes a multiple of the memory of the image
_SIXTEEN_TO_EIGHT = np.rint(np.arange(65_536) / 257).astype(np.uint8)
# Odd metadata is no news, and our own limit on pixels is lower than the one that is warned of.
warnings.filterwarnings("ignore", module=r"PIL\.")


class Undecodable(Exception):
    """A file gives no image; the message is the reason that is shown."""


def dimensions(file: bytes) -> tuple[int, int]:
    """Return width and height in pixels, as the header has them; `Undecodable` where the file is no image."""
    with open_checked(file) as image:
        return image.size


def room(pixels: int) -> AbstractContextManager[None]:
    """Wait until so many pixels fit beside those that others are decoding, and hold them."""
    return _large.taking(pixels)


def attempt(function: Callable[[], T]) -> T | Undecodable:
    """Return what a function gives, or the reason why a file gives no image."""
    try:
        return function()
    except Undecodable as reason:
        return reason


def square(file: bytes | BytesIO, side: int, room: Room | None = None, memory: int | None = None) -> NDArray[np.uint8]:
    """Decode one file to a (side, side, 3) RGB square: the largest central square, scaled bicubically.

    `Undecodable` where that could take more than `memory` bytes.
    """
    image = decode(file, side, room, memory)
    if image.size != (side, side):
        image = ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)
    return np.asarray(image)


def pixel_digest(square: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of a square's pixels in hexadecimal: equal where a network sees the same picture."""
    return hashlib.sha256(np.ascontiguousarray(square).data).hexdigest()


def picture_digest(file: bytes, room: Room | None = None) -> str:
    """Return the SHA-256 of a file's whole picture in hexadecimal; of several frames that of all its bytes."""
    with open_checked(file) as image, _bad_data():
        frames = getattr(image, "n_frames", 1)
    if frames > 1:
        try:
            with open(file, "rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise Undecodable(wording.fault(error)) from error
    picture = decode(file, room=room)
    digest = hashlib.sha256(f"{picture.width}x{picture.height}:".encode())
    digest.update(picture.tobytes())
    return digest.hexdigest()


def decode(
    file: bytes | BytesIO, side: int | None = None, room: Room | None = None, memory: int | None = None
) -> Image.Image:
    """Decode one file canonically to RGB; with `side`, a JPEG may come smaller, no less than twice that.

    EXIF orientation is applied, 16 bits are scaled to 8, alpha lies over white, the first frame counts, and
    CMYK goes through its profile where it has one. A large picture is held in the `room` for its pixels;
    `Undecodable` where it could take more than `memory` bytes.
    """
    with open_checked(file) as image, _bad_data():
        header = image.size
        if side and image.format == "JPEG":
            image.draft(None, (2 * side, 2 * side))
        # A progressive one keeps its coefficients in full size, however it is scaled.
        width, height = header if "progressive" in image.info else image.size
        if memory and width * height > (most := memory // _BYTES_A_PIXEL.get(image.format or "", 9)):
            raise Undecodable(f"more than {most // 1_000_000} megapixels, and a {image.format} is held whole")
        with nullcontext() if width * height <= _SMALL_PIXELS else (room or _large.taking)(width * height):
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _to_rgb(image)


def open_checked(file: bytes | BytesIO) -> Image.Image:
    """Open a regular file of a listed format and check its header, before any pixel is decoded."""
    if isinstance(file, bytes):
        try:
            status = os.stat(file)
            if not stat.S_ISREG(status.st_mode):
                raise Undecodable("not a regular file")
            if status.st_size == 0:
                raise Undecodable("the file is empty")
        except OSError as error:
            raise Undecodable(wording.fault(error)) from error
    try:
        image = Image.open(file, formats=FORMATS)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's openers raise many kinds on bad data
        reason = (
            wording.fault(error) if isinstance(error, OSError) and error.strerror else "not an image of a known format"
        )
        if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
            reason = f"more than {MAX_PIXELS // 1_000_000} megapixels"
        raise Undecodable(reason) from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise Undecodable(f"more than {MAX_PIXELS // 1_000_000} megapixels ({image.width}x{image.height})")
    return image


@contextmanager
def _bad_data() -> Iterator[None]:
    """Raise `Undecodable` for whatever the block raises but a lack of memory."""
    try:
        yield
    except (MemoryError, Undecodable):
        raise
    except Exception as error:  # Pillow's decoders raise many kinds on bad data
        raise Undecodable(f"cannot be decoded: {error}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray(_SIXTEEN_TO_EIGHT[np.asarray(image)]).convert("RGB")
    if image.mode in ("I", "F"):
        limits = (65535.0,) if image.mode == "I" else (1.0, 255.0, 65535.0)
        largest = max(np.nan_to_num(_values(strip)).max(initial=0) for _, strip in _strips(image))
        limit = next((limit for limit in limits if largest <= limit), 2.0**31 - 1)
        return _by_strips(image, lambda strip: _grey(np.clip(np.nan_to_num(_values(strip)) / limit, 0, 1) * 255))
    if image.mode in ("LA", "RGBA", "La") or "transparency" in image.info:
        return _by_strips(image, _over_white)
    if image.mode == "CMYK" and (profile := image.info.get("icc_profile")):
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError):
            pass  # a broken profile: fall through to Pillow's own conversion
    return image if image.mode == "RGB" else image.convert("RGB")


def _by_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Convert strip by strip, with the pixels that `convert` gives of the whole, but not with its memory."""
    whole = Image.new("RGB", image.size)
    for top, strip in _strips(image):
        whole.paste(convert(strip), (0, top))
    return whole


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _over_white(strip: Image.Image) -> Image.Image:
    layer = (strip.convert("LA") if strip.mode == "La" else strip).convert("RGBA")  # Pillow knows no shorter way
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _values(strip: Image.Image) -> NDArray[np.float64]:
    return np.asarray(strip).astype(np.float64)


def _grey(values: NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(np.rint(values).astype(np.uint8)).convert("RGB")

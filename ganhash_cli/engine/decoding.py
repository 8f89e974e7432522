"""Image files → RGB: the one canonical decode, part of every model's fingerprint; the only opener of image files."""

from __future__ import annotations

import hashlib
import os
import stat
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from ganhash_cli.engine.parallel import Budget

T = TypeVar("T")
Room = Callable[[int], AbstractContextManager[None]]

DECODE_VERSION = 1
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
MAX_PIXELS = 64_000_000
# Decoded at once, on however many processors: no more than the largest image alone. Small ones are not counted.
_large = Budget(MAX_PIXELS)
_SMALL_PIXELS = 1_000_000
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


def square(file: bytes | BytesIO, side: int, room: Room | None = None) -> NDArray[np.uint8]:
    """Decode one file to a (side, side, 3) RGB square: the largest central square, scaled bicubically."""
    image = decode(file, side, room)
    if image.size != (side, side):
        image = ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)
    return np.asarray(image)


def pixel_digest(square: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of a square's pixels in hexadecimal: equal where a network sees the same picture."""
    return hashlib.sha256(np.ascontiguousarray(square).data).hexdigest()


def picture_digest(file: bytes, room: Room | None = None) -> str:
    """Return the SHA-256 of a file's whole picture in hexadecimal; of several frames that of all its bytes."""
    with open_checked(file) as image:
        frames = getattr(image, "n_frames", 1)
    if frames > 1:
        try:
            with open(file, "rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise Undecodable(error.strerror or str(error)) from error
    picture = decode(file, room=room)
    digest = hashlib.sha256(f"{picture.width}x{picture.height}:".encode())
    digest.update(picture.tobytes())
    return digest.hexdigest()


def decode(file: bytes | BytesIO, side: int | None = None, room: Room | None = None) -> Image.Image:
    """Decode one file canonically to RGB; with `side`, a JPEG may come smaller, no less than twice that.

    EXIF orientation is applied, 16 bits are scaled to 8, alpha lies over white, the first frame counts, and
    CMYK goes through its profile where it has one. A large picture is held in the `room` for its pixels.
    """
    with open_checked(file) as image:
        try:
            header = image.size
            if side and image.format == "JPEG":
                image.draft(None, (2 * side, 2 * side))
            # A progressive one keeps its coefficients in full size, however it is scaled.
            width, height = header if "progressive" in image.info else image.size
            with nullcontext() if width * height <= _SMALL_PIXELS else (room or _large.taking)(width * height):
                image.load()
                ImageOps.exif_transpose(image, in_place=True)
                return _to_rgb(image)
        except MemoryError:
            raise
        except Exception as error:  # Pillow's decoders raise many kinds on bad data
            raise Undecodable(f"cannot be decoded: {error}") from error


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
            raise Undecodable(error.strerror or str(error)) from error
    try:
        image = Image.open(file, formats=FORMATS)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's openers raise many kinds on bad data
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not an image of a known format"
        if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
            reason = f"more than {MAX_PIXELS // 1_000_000} megapixels"
        raise Undecodable(reason) from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise Undecodable(f"more than {MAX_PIXELS // 1_000_000} megapixels ({image.width}x{image.height})")
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray(_SIXTEEN_TO_EIGHT[np.asarray(image)]).convert("RGB")
    if image.mode in ("I", "F"):
        limits = (65535.0,) if image.mode == "I" else (1.0, 255.0, 65535.0)
        return Image.fromarray(_to_bytes(np.asarray(image, np.float64), limits)).convert("RGB")
    if image.mode in ("LA", "RGBA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    if image.mode == "CMYK" and (profile := image.info.get("icc_profile")):
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError):
            pass  # a broken profile: fall through to Pillow's own conversion
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_bytes(values: NDArray[np.float64], limits: tuple[float, ...]) -> NDArray[np.uint8]:
    """Scale wide values to bytes by the first of `limits` that holds them all, else by 2^31 - 1."""
    values = np.nan_to_num(values)
    limit = next((limit for limit in limits if values.max(initial=0) <= limit), 2.0**31 - 1)
    return np.rint(np.clip(values / limit, 0, 1) * 255).astype(np.uint8)

"""Writes the corpus of hostile and odd image files, over a hundred, made on the spot, each with what comes of it."""

import functools
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")
CUTS = (0.0, 0.0005, 0.01, 0.1, 0.5, 0.9, 0.999)
DECODED = ""


@dataclass(frozen=True)
class Attack:
    """A file, and a part of the reason why it is refused: empty where it is an image, None where either will do."""

    name: str
    content: bytes
    reason: str | None


def noise(height: int = 60, width: int = 80, seed: int = 0) -> Image.Image:
    """Return a picture that no packing makes small."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return an image as the bytes of a file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG with its right checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *, bits: int = 8, colour: int = 2, body: bytes = b"", extra: bytes = b"") -> bytes:
    """Return a PNG of any declared size, whatever its pixels are."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header), extra, chunk(b"IDAT", body), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def blank(size: int) -> bytes:
    """Return so many zeros, packed."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()


def frames(kind: str, count: int, **options: object) -> bytes:
    """Return an animation of tiny frames."""
    few = [Image.new("P", (8, 8), number % 7) for number in range(count)]
    for number, frame in enumerate(few):
        frame.putpalette([number % 256, 0, 0] * 256)
    return saved(
        few[0].convert("RGB"), kind, save_all=True, append_images=[f.convert("RGB") for f in few[1:]], **options
    )


def tiff_of_directories(count: int) -> bytes:
    """Return a TIFF with a sound first picture, and a chain of so many directories behind it."""
    content = bytearray(saved(noise(16, 16), "TIFF"))
    at = struct.unpack_from("<I", content, 4)[0]
    link = at + 2 + 12 * struct.unpack_from("<H", content, at)[0]
    for _ in range(count):
        struct.pack_into("<I", content, link, len(content))
        content += struct.pack("<HHHII", 1, 256, 4, 1, 1)
        link = len(content)
        content += bytes(4)
    return bytes(content)


def looped_tiff() -> bytes:
    """Return a TIFF whose first directory is followed by itself."""
    content = bytearray(saved(noise(16, 16), "TIFF"))
    at = struct.unpack_from("<I", content, 4)[0]
    struct.pack_into("<I", content, at + 2 + 12 * struct.unpack_from("<H", content, at)[0], at)
    return bytes(content)


def jpeg_header(side: int) -> bytes:
    """Return a JPEG that declares a large square."""
    content = bytearray(saved(noise(16, 16), "JPEG"))
    at = content.index(b"\xff\xc0")
    struct.pack_into(">HH", content, at + 5, side, side)
    return bytes(content)


def text(size: int) -> bytes:
    """Return a packed text chunk of a PNG."""
    return chunk(b"zTXt", b"Comment\0\0" + blank(size))


def zipped() -> bytes:
    """Return a ZIP archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("run.sh", "echo harm")
    return stream.getvalue()


def truncated() -> list[Attack]:
    """Return every format cut short; what is cut by a last byte or two may still be an image."""
    attacks = []
    for kind in FORMATS:
        whole = saved(noise(), kind)
        for cut in CUTS:
            left = whole[: int(cut * len(whole))]
            reason = None if cut == CUTS[-1] else "empty" if not left else "cannot be decoded|not an image"
            attacks.append(Attack(f"cut-{cut}.{kind.lower()}", left, reason))
    return attacks


def bombs() -> list[Attack]:
    """Return small files that declare much."""
    large = "more than 64 megapixels"
    gif = saved(noise(8, 8), "GIF")
    wide = struct.pack("<HH", 65535, 65535)
    return [
        Attack("20000.png", png(20000, 20000, bits=1, colour=0, body=blank(50 << 20)), large),
        Attack("13000.png", png(13000, 13000, body=blank(1 << 20)), large),
        Attack("huge.png", png(2**31 - 1, 2**31 - 1), "megapixels|not an image"),
        Attack("wide.png", saved(Image.new("RGB", (60000, 1)), "PNG"), DECODED),
        Attack("tall.png", saved(Image.new("RGB", (1, 60000)), "PNG"), DECODED),
        Attack("ztxt.png", png(8, 8, body=zlib.compress(bytes(200)), extra=text(200 << 20)), None),
        Attack("itxt.png", png(8, 8, body=zlib.compress(bytes(200)), extra=text(60 << 20) * 3), None),
        Attack("icc.png", saved(noise(8, 8), "PNG", icc_profile=bytes(40 << 20)), "not an image"),
        Attack("short.png", png(4000, 4000, body=zlib.compress(b"")), "cannot be decoded"),
        Attack("empty.png", png(0, 0), "not an image|cannot be decoded"),
        Attack("header.jpg", jpeg_header(65500), large),
        Attack("thin.jpg", jpeg_header(7000), None),
        Attack("frames.gif", frames("GIF", 1000), DECODED),
        Attack("frames.webp", frames("WEBP", 300, lossless=True, method=0), DECODED),
        Attack("frames.png", frames("PNG", 1000), DECODED),
        Attack("screen.gif", gif[:6] + wide + gif[10:], large),
        Attack("directories.tif", tiff_of_directories(10_000), DECODED),
        Attack("loop.tif", looped_tiff(), DECODED),
        Attack(
            "picture.svg.png",
            b'<svg xmlns="http://www.w3.org/2000/svg"><image href="/etc/passwd"/></svg>',
            "not an image",
        ),
        Attack(
            "script.eps.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n", "not an image"
        ),
        Attack("page.pdf.png", saved(noise(), "PDF"), "not an image"),
        Attack("spider.tif", saved(noise().convert("F"), "SPIDER"), "not an image"),
        Attack("dcx.png", struct.pack("<II", 987654321, 12) + bytes(64), "not an image"),
        Attack("fits.png", b"SIMPLE  =                    T".ljust(2880), "not an image"),
        Attack("two.mpo.jpg", saved(noise(), "MPO", save_all=True, append_images=[noise(seed=1)]), DECODED),
        Attack("header.pnm.ppm", b"P6 99999999999 99999999999 255\n", "megapixels|not an image"),
        Attack("header.ppm", b"P6 9000 9000 255\n", large),
        Attack(
            "header.bmp",
            b"BM" + struct.pack("<IHHIIiiHH", 54, 0, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 24) + bytes(24),
            None,
        ),
    ]


def modes() -> list[Attack]:
    """Return the pictures of every mode that a listed format holds."""
    kinds = {"1": "PNG", "L": "JPEG", "LA": "PNG", "P": "GIF", "RGBA": "PNG", "CMYK": "JPEG", "LAB": "TIFF"}
    kinds |= {"YCbCr": "TIFF", "I": "TIFF", "F": "TIFF", "I;16": "PNG"}
    whole = [
        Attack(f"mode-{mode}.{kind.lower()}", saved(_of_mode(mode), kind), DECODED) for mode, kind in kinds.items()
    ]
    wide = saved(noise(), "JPEG", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes())
    broken = saved(noise().convert("CMYK"), "JPEG", icc_profile=b"no profile")
    return [*whole, Attack("icc-lab.jpg", wide, DECODED), Attack("icc-broken.jpg", broken, DECODED)]


def _of_mode(mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(np.arange(4800, dtype=np.uint16).reshape(60, 80))
    if mode == "LAB":
        return Image.merge("LAB", noise().split())
    return noise().convert(mode if mode not in ("I", "F") else "L").convert(mode)


def odd() -> list[Attack]:
    """Return files that are not what their names say."""
    picture, info = saved(noise(), "PNG"), PngImagePlugin.PngInfo()
    info.add_text("title", "<script>alert(1)</script>")
    return [
        Attack("png.jpg", picture, DECODED),
        Attack("UPPER.JPEG", saved(noise(), "JPEG"), DECODED),
        Attack("zero.jpg", b"", "the file is empty"),
        Attack("page.jpg", b"<!doctype html><title>404</title>", "not an image"),
        Attack("polyglot.jpg", saved(noise(), "JPEG") + zipped(), DECODED),
        Attack("archive.png", zipped(), "not an image"),
        Attack("pickle.png", b"cos\nsystem\n(S'touch harm'\ntR.", "not an image"),
        Attack("text.png", saved(noise(), "PNG", pnginfo=info), DECODED),
        Attack("one.png", saved(noise(1, 1), "PNG"), DECODED),
        Attack("strip.png", saved(noise(8000, 8), "PNG"), DECODED),
        Attack("random.png", np.random.default_rng(0).bytes(5000), "not an image"),
        Attack("zeros.bmp", bytes(5000), "not an image"),
        Attack("signature.png", picture[:8] + np.random.default_rng(1).bytes(900), "cannot be decoded|not an image"),
        Attack("crc.png", picture[:40] + bytes([picture[40] ^ 1]) + picture[41:], "cannot be decoded|not an image"),
        Attack("riff.webp", b"RIFF\xff\xff\xff\xffWEBPVP8X" + bytes(30), "cannot be decoded|not an image"),
        Attack("ftyp.avif", b"\0\0\0\x20ftypavif" + bytes(60), "cannot be decoded|not an image"),
        *(_turned(number) for number in range(1, 9)),
    ]


def _turned(orientation: int) -> Attack:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return Attack(f"exif-{orientation}.jpg", saved(noise(), "JPEG", exif=exif), DECODED)


GROUPS: tuple[Callable[[], list[Attack]], ...] = (truncated, bombs, modes, odd)


@functools.cache
def attacks() -> list[Attack]:
    """Return the whole corpus."""
    return [attack for group in GROUPS for attack in group()]


def write(folder: Path) -> None:
    """Write the whole corpus into a new folder."""
    folder.mkdir(parents=True)
    for attack in attacks():
        (folder / attack.name).write_bytes(attack.content)

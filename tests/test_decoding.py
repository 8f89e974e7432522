"""Images are decoded in one canonical way, whatever is thrown at them."""

import hashlib
import os
import struct
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from ganhash_cli.engine import decoders, decoding, parallel
from ganhash_cli.engine.decoding import Undecodable, decode, square
from ganhash_cli.engine.parallel import Budget
from test_images import Array, encoded, noise, png_header, put

LOSSY_OR_NOT = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF"]


def pixels(stream: BytesIO | bytes) -> Array:
    return np.asarray(decode(stream))


def grey(values: Sequence[Sequence[int]]) -> Array:
    return np.repeat(np.array(values, np.uint8)[..., None], 3, axis=2)


def stored(upright: Array, orientation: int) -> Array:
    """Return how a camera stores an upright image under an EXIF orientation (EXIF 2.32, table of tag 274)."""
    mirrored = upright[:, ::-1] if orientation in (2, 4, 5, 7) else upright
    return np.rot90(mirrored, {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 1, 7: 3, 8: 3}[orientation])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_gives_the_upright_pixels(orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    stream = encoded(np.ascontiguousarray(stored(noise(), orientation)), exif=exif)
    assert np.array_equal(pixels(stream), noise())


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("exif", [b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01", b"Exif\0\0garbage!!", b"Exif\0\0"])
def test_damaged_exif_does_not_cost_the_image(exif: bytes) -> None:
    assert pixels(encoded(noise(), "JPEG", exif=exif)).shape == (20, 30, 3)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_to_eight_and_not_cut_off(kind: str) -> None:
    wide = np.array([[0, 128, 129, 257, 30_000, 65_535]], np.uint16)
    assert np.array_equal(pixels(encoded(Image.fromarray(wide), kind)), grey([[0, 0, 1, 1, 117, 255]]))


@pytest.mark.parametrize("peak", [200, 65_535])
def test_a_dark_sixteen_bit_image_stays_dark_in_every_format(peak: int) -> None:
    wide = Image.fromarray(np.array([[0, 200], [peak, 50]], np.uint16))
    png, tiff, ppm = (pixels(encoded(wide, kind)) for kind in ("PNG", "TIFF", "PPM"))
    assert np.array_equal(png, tiff)
    assert np.array_equal(png, ppm)


def test_integers_beyond_sixteen_bits_are_scaled_by_the_largest_there_is() -> None:
    values = np.array([[-5, 0, 2**30, 2**31 - 1]], np.int32)
    assert np.array_equal(pixels(encoded(Image.fromarray(values), "TIFF")), grey([[0, 0, 128, 255]]))


@pytest.mark.parametrize("peak", [1.0, 255.0, 65_535.0])
def test_floats_are_scaled_by_the_range_they_fill(peak: float) -> None:
    values = np.array([[0, 0.2, 1, np.nan]], np.float32) * np.float32(peak)
    assert np.array_equal(pixels(encoded(Image.fromarray(values), "TIFF")), grey([[0, 51, 255, 0]]))


def test_alpha_lies_over_white() -> None:
    colour, alpha = noise(), noise(seed=1)[..., :1]
    over_white = (colour * (alpha / 255) + 255 * (1 - alpha / 255)).round()
    decoded = pixels(encoded(np.concatenate([colour, alpha], axis=2)))
    assert np.abs(decoded - over_white).max() <= 1


def test_grey_with_alpha_lies_over_white() -> None:
    assert np.array_equal(pixels(encoded(np.array([[[0, 0], [7, 255]]], np.uint8))), grey([[255, 7]]))


def test_a_tiff_whose_grey_is_multiplied_with_its_alpha_lies_over_white() -> None:
    separate = encoded(Image.new("LA", (4, 4), (50, 100)), "TIFF").getvalue()
    extra = struct.pack("<HHIH", 338, 3, 1, 2)  # the tag ExtraSamples: 2 is alpha beside the grey, 1 within it
    assert separate.count(extra) == 1
    within = separate.replace(extra, extra[:-2] + struct.pack("<H", 1))
    assert Image.open(BytesIO(within)).mode == "La"
    assert pixels(BytesIO(within))[0, 0].tolist() == [205] * 3, "50 of its own and 155 of the white"


def test_a_transparent_palette_colour_is_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 0, 0, 0, 200])
    image.putdata([0, 1])
    assert pixels(encoded(image, transparency=1)).tolist() == [[[200, 0, 0], [255, 255, 255]]]


def test_a_transparent_true_colour_is_white() -> None:
    image = Image.fromarray(np.array([[[9, 8, 7], [1, 2, 3]]], np.uint8))
    assert pixels(encoded(image, transparency=(9, 8, 7))).tolist() == [[[255, 255, 255], [1, 2, 3]]]


def test_black_and_white_is_0_and_255() -> None:
    assert np.array_equal(pixels(encoded(Image.fromarray(np.array([[True, False]])))), grey([[255, 0]]))


@pytest.mark.parametrize(
    "profile",
    [b"", b"no profile at all", ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()],
    ids=["none", "broken", "of another colour space"],
)
def test_cmyk_without_a_profile_that_fits_goes_through_pillows_conversion(profile: bytes) -> None:
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    decoded = pixels(encoded(cyan, "JPEG", quality=95, icc_profile=profile)).astype(int)
    assert np.abs(decoded - [0, 255, 255]).max() <= 3


@pytest.mark.parametrize(("kind", "options"), [("GIF", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("PNG", {})])
def test_the_first_frame_counts(kind: str, options: dict[str, object]) -> None:
    first, second = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
    stream = encoded(first, kind, save_all=True, append_images=[second], **options)
    assert np.array_equal(pixels(stream), np.full((4, 4, 3), [255, 0, 0]))


def test_a_jpeg_may_come_smaller_but_never_below_twice_the_side_asked_for() -> None:
    photo = encoded(Image.fromarray(noise(12, 16)).resize((1600, 1200)), "JPEG")
    assert decode(photo, 64).size == (200, 150)


def test_the_smaller_jpeg_gives_the_same_square_within_rounding() -> None:
    photo = encoded(Image.fromarray(noise(12, 16)).resize((1600, 1200)), "JPEG", quality=95)
    whole = encoded(pixels(photo), "PNG")
    difference = np.abs(square(photo, 64).astype(int) - square(whole, 64))
    assert difference.mean() < 1


@pytest.mark.parametrize(("shorter", "equal"), [(127, True), (128, False)])
def test_a_lossless_copy_is_the_same_square_but_of_a_jpeg_of_four_times_its_side(shorter: int, equal: bool) -> None:
    """docs/metrics.md says so of the search for leaks."""
    jpeg = encoded(noise(shorter, 200), "JPEG")
    copy = encoded(pixels(jpeg), "PNG")
    digests = {decoding.pixel_digest(square(stream, 32)) for stream in (jpeg, copy)}
    assert (len(digests) == 1) == equal


def test_an_image_of_the_very_size_keeps_its_pixels() -> None:
    rgb = noise(24, 24)
    rgb = np.dstack([rgb, rgb, rgb]) if rgb.ndim == 2 else rgb
    assert np.array_equal(square(encoded(rgb), 24), rgb)


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_what_is_decoded_at_once_is_no_more_than_the_largest_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, object]
) -> None:
    together, most, lock, to_rgb = 0, 0, threading.Lock(), decoding._to_rgb

    def counted(image: Image.Image) -> Image.Image:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        time.sleep(0.01)
        with lock:
            together -= 1
        return to_rgb(image)

    monkeypatch.setattr(decoding, "_to_rgb", counted)
    monkeypatch.setattr(decoding, "_SMALL_PIXELS", 0)
    monkeypatch.setattr(decoding, "_large", Budget(150 * 100))
    monkeypatch.setattr(parallel, "threads", lambda: 4)
    files = []
    for number in range(8):
        files.append(os.fsencode(tmp_path / f"{number}.jpg"))
        Image.new("RGB", (120, 100)).save(os.fsdecode(files[-1]), **options)
    assert all(isinstance(found, np.ndarray) for found in decoders.squares(files, 60))
    assert most == 1
    most = 0
    list(decoders.squares(files, 12))  # scaled to a quarter of the pixels, but for the progressive ones
    assert (most > 1) == (not options)


class Asked:
    """Room without end that notes what it is asked for."""

    def __init__(self) -> None:
        self.pixels: list[int] = []

    def __call__(self, pixels: int) -> AbstractContextManager[None]:
        self.pixels.append(pixels)
        return nullcontext()


def test_a_large_picture_is_held_in_the_room_for_its_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_SMALL_PIXELS", 20 * 30)
    asked = Asked()
    for height, width in ((20, 30), (21, 30), (4, 160)):
        square(encoded(noise(height, width)), 8, room=asked)
    assert asked.pixels == [21 * 30, 4 * 160]


def test_the_room_for_a_scaled_jpeg_is_that_of_what_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_SMALL_PIXELS", 0)
    asked = Asked()
    for options in ({}, {"progressive": True}):
        square(encoded(noise(200, 300), "JPEG", **options), 20, room=asked)
    assert asked.pixels == [50 * 75, 200 * 300]


def test_room_is_what_all_share(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(Budget, "taking", lambda _, amount: taken.append(amount) or nullcontext())
    with decoding.room(7):
        assert taken == [7]


@pytest.mark.parametrize(("kind", "bytes_a_pixel"), [("PNG", 9), ("WEBP", 17), ("AVIF", 13)])
def test_what_could_take_more_than_the_memory_is_refused(kind: str, bytes_a_pixel: int) -> None:
    file, enough = encoded(Image.new("RGB", (2000, 1500)), kind), 3_000_000 * bytes_a_pixel
    assert square(file, 8, memory=enough).shape == (8, 8, 3)
    with pytest.raises(Undecodable, match=rf"^more than 2 megapixels, and a {kind} is held whole$"):
        square(file, 8, memory=enough - 1)


def test_a_square_is_scaled_bicubically() -> None:
    pixels = noise(30, 30)
    assert np.array_equal(
        square(encoded(pixels), 7), np.asarray(Image.fromarray(pixels).resize((7, 7), Image.Resampling.BICUBIC))
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_the_digest_of_a_picture_is_that_of_its_size_and_pixels(tmp_path: Path, kind: str) -> None:
    stream = encoded(noise(20, 30), kind)
    (tmp_path / "a").write_bytes(stream.getvalue())
    wanted = hashlib.sha256(b"30x20:" + pixels(stream).tobytes()).hexdigest()
    assert decoding.picture_digest(os.fsencode(tmp_path / "a")) == wanted


def test_the_digest_of_a_large_picture_is_made_within_the_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_SMALL_PIXELS", 0)
    asked = Asked()
    decoding.picture_digest(os.fsencode(put(tmp_path, "a.png") / "a.png"), asked)
    assert asked.pixels == [20 * 30]


def test_the_digest_of_several_frames_is_that_of_all_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [Image.fromarray(noise(seed=seed)) for seed in range(2)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    content, file = (tmp_path / "a.gif").read_bytes(), os.fsencode(tmp_path / "a.gif")
    assert decoding.picture_digest(file) == hashlib.sha256(content).hexdigest()

    monkeypatch.setattr(decoding, "open_checked", lambda _: Image.open(BytesIO(content)))
    os.unlink(file)
    with pytest.raises(Undecodable, match=r"^missing$"):
        decoding.picture_digest(file)


@pytest.mark.parametrize("mode", ["I", "F", "RGBA", "L", "CMYK"])
def test_a_picture_is_the_same_in_strips_of_any_height(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    values = noise(20, 30)
    image = Image.fromarray(values[..., 0].astype(np.int32) * 200) if mode == "I" else Image.fromarray(values)
    image = image if mode == "I" else image.convert(mode)
    whole = np.asarray(decoding._to_rgb(image.copy()))
    for strip in (1, 3 * 30, 7 * 30):
        monkeypatch.setattr(decoding, "_STRIP_PIXELS", strip)
        assert np.array_equal(np.asarray(decoding._to_rgb(image.copy())), whole)


@pytest.mark.parametrize(("strip", "heights"), [(1, [1] * 5), (60, [2, 2, 1]), (1000, [5])])
def test_strips_hold_so_many_pixels_and_no_fewer_than_a_row(
    monkeypatch: pytest.MonkeyPatch, strip: int, heights: list[int]
) -> None:
    monkeypatch.setattr(decoding, "_STRIP_PIXELS", strip)
    found = list(decoding._strips(Image.new("L", (30, 5))))
    assert [part.size for _, part in found] == [(30, height) for height in heights]
    assert [top for top, _ in found] == [sum(heights[:at]) for at in range(len(heights))]


def test_a_jpeg_without_a_side_comes_whole() -> None:
    assert decode(encoded(noise(300, 400), "JPEG")).size == (400, 300)


def test_a_square_is_the_largest_central_one() -> None:
    bands = np.zeros((10, 30, 3), np.uint8)
    bands[:, 10:20] = 255
    assert square(encoded(bands), 5).mean() > 240


@pytest.mark.parametrize("size", [(1, 1), (1, 9000), (9000, 1)])
def test_a_square_of_extreme_shapes_is_a_square(size: tuple[int, int]) -> None:
    assert square(encoded(Image.new("RGB", size, "red")), 8).shape == (8, 8, 3)


# What gives no image


@pytest.mark.parametrize("size", [(8001, 8000), (13_000, 13_000), (20_000, 20_000), (65_000_000, 1)])
def test_more_than_64_megapixels_are_refused_by_the_header(size: tuple[int, int]) -> None:
    with pytest.raises(Undecodable, match="more than 64 megapixels"):
        decode(BytesIO(png_header(*size)))


def test_64_megapixels_pass_the_header() -> None:
    with pytest.raises(Undecodable, match="cannot be decoded"):
        decode(BytesIO(png_header(8000, 8000)))


@pytest.mark.parametrize("kind", LOSSY_OR_NOT)
@pytest.mark.parametrize("share", [0.0005, 0.01, 0.5, 0.9])
def test_a_truncated_file_is_undecodable(kind: str, share: float) -> None:
    whole = encoded(noise(64, 64), kind).getvalue()
    with pytest.raises(Undecodable):
        decode(BytesIO(whole[: max(1, int(len(whole) * share))]))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", LOSSY_OR_NOT)
def test_a_changed_byte_gives_an_image_or_a_reason_and_nothing_else(kind: str) -> None:
    random = np.random.default_rng(0)
    whole = encoded(noise(8, 8), kind).getvalue()
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[random.integers(len(whole))] = random.integers(256)
        try:
            assert square(BytesIO(bytes(damaged)), 4).shape == (4, 4, 3)
        except Undecodable as reason:
            assert str(reason)  # noqa: PT017 (either end is right)


def test_out_of_memory_is_not_taken_for_a_bad_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Image.Image) -> None:
        raise MemoryError

    monkeypatch.setattr(decoding, "_to_rgb", full)
    with pytest.raises(MemoryError):
        decode(encoded(noise()))


def reason(file: Path) -> str:
    with pytest.raises(Undecodable) as raised:
        square(os.fsencode(file), 8)
    return str(raised.value)


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.png").touch()
    assert reason(tmp_path / "x.png") == "the file is empty"


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").mkdir()
    assert reason(tmp_path / "x.jpg") == "not a regular file"


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    assert reason(tmp_path / "x.jpg") == "missing"


@pytest.mark.timeout(10)
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.jpg")
    assert reason(tmp_path / "x.jpg") == "not a regular file"


@pytest.mark.parametrize("kind", ["PCX", "TGA", "EPS", "PDF"])
def test_a_format_that_is_not_listed_is_refused(kind: str, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(encoded(noise(), kind).getvalue())
    assert reason(tmp_path / "x.png") == "not an image of a known format"


def test_a_web_page_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_text("<!doctype html><title>404</title>")
    assert reason(tmp_path / "x.jpg") == "not an image of a known format"


def test_the_content_counts_and_not_the_suffix(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(encoded(noise()).getvalue())
    assert np.array_equal(pixels(os.fsencode(tmp_path / "x.jpg")), noise())


@pytest.mark.parametrize("mode", ["LA", "P", "RGBA", "I;16", "I", "F"])
def test_strips_meet_without_a_seam(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 256, (37, 23, 4), dtype=np.uint8)
    if mode in ("I;16", "I", "F"):
        wide = values[..., 0].astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]) * 200
        picture = Image.fromarray(wide)
    else:
        picture = Image.fromarray(values).convert(mode)
    more = {"transparency": 7} if mode == "P" else {}
    picture.save(tmp_path / ("x.tif" if mode in ("I", "F") else "x.png"), **more)
    [file] = map(os.fsencode, tmp_path.iterdir())
    whole = np.asarray(decoding.decode(file))
    monkeypatch.setattr(decoding, "_STRIP_PIXELS", 23 * 5)
    assert np.array_equal(np.asarray(decoding.decode(file)), whole)
    assert whole.std() > 0


def test_the_dimensions_are_those_of_the_header(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    assert decoding.dimensions(bytes(tmp_path / "a.png")) == (30, 20)


@pytest.mark.parametrize(("kind", "bytes_a_pixel"), [("PNG", 9), ("WEBP", 17), ("AVIF", 13)])
def test_what_could_take_more_memory_than_allowed_is_refused_by_its_header(kind: str, bytes_a_pixel: int) -> None:
    file, most = encoded(noise(), kind), 30 * 20 * bytes_a_pixel
    assert square(file, 8, memory=most).shape == (8, 8, 3)
    with pytest.raises(Undecodable, match=f"and a {kind} is held whole"):
        square(file, 8, memory=most - 1)


def test_memory_counts_the_scaled_jpeg_but_the_whole_progressive_one() -> None:
    plain, progressive = (encoded(noise(800, 800), "JPEG", progressive=way) for way in (False, True))
    assert square(plain, 8, memory=100 * 100 * 9).shape == (8, 8, 3)
    with pytest.raises(Undecodable, match="a JPEG is held whole"):
        square(progressive, 8, memory=100 * 100 * 9)


def test_out_of_memory_on_opening_is_not_taken_for_a_bad_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", full)
    with pytest.raises(MemoryError):
        decode(encoded(noise()))


def test_cmyk_goes_through_its_profile() -> None:
    """By the profile below any ink is black and none is white, while Pillow alone makes cyan of cyan."""
    inks = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    inks.paste((0, 0, 0, 0), (0, 0, 4, 8))
    through = pixels(encoded(inks, "TIFF", icc_profile=any_ink_is_black()))
    assert through[:, :4].min() >= 250
    assert through[:, 4:].max() <= 5


def any_ink_is_black() -> bytes:
    """Return a CMYK profile (ICC.1:2001-04): a table of two steps a channel, lut8Type, to L*a*b*."""
    ramps = bytes(range(256))
    corners = b"".join(bytes([255 if corner == 0 else 0, 128, 128]) for corner in range(16))
    unit = struct.pack(">9i", *(65536 if place % 4 == 0 else 0 for place in range(9)))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + unit + ramps * 4 + corners + ramps * 3
    tags = struct.pack(">I4sII", 1, b"A2B0", 144, len(table))
    header = struct.pack(
        ">I4sI4s4s4s12s4s4s28s", 144 + len(table), b"", 0x02400000, *(b"prtr", b"CMYK", b"Lab "), b"", b"acsp", b"", b""
    )
    white = struct.pack(">3i", 63190, 65536, 54061)
    return header + white + bytes(128 - len(header) - len(white)) + tags + table

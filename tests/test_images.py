"""Images are listed by exact names and decoded in one canonical way, whatever is thrown at them."""

import errno
import hashlib
import os
import struct
import threading
import time
import zlib
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from ganhash_cli.engine import decoders, decoding, fakes, images, parallel, pool
from ganhash_cli.engine.decoding import Undecodable, decode, square
from ganhash_cli.engine.parallel import Budget
from ganhash_cli.engine.progress import finish
from ganhash_cli.errors import InputError, StorageError, UsageError

Array = NDArray[np.uint8]
LOSSY_OR_NOT = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF"]


def noise(height: int = 20, width: int = 30, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(image: Image.Image | Array, kind: str = "PNG", **options: object) -> BytesIO:
    stream = BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(stream, kind, **options)
    return BytesIO(stream.getvalue())


def pixels(stream: BytesIO | bytes) -> Array:
    return np.asarray(decode(stream))


def grey(values: Sequence[Sequence[int]]) -> Array:
    return np.repeat(np.array(values, np.uint8)[..., None], 3, axis=2)


def put(folder: Path, *names: str) -> Path:
    """Write a small image, a different one each, under every name."""
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encoded(noise(seed=seed)).getvalue())
    return folder


def paths(collection: images.Collection) -> list[bytes]:
    return [entry.path for entry in collection.entries]


def labels(collection: images.Collection) -> dict[bytes, list[str]]:
    return {entry.path: [collection.class_names[label] for label in entry.labels] for entry in collection.entries}


# The canonical decode


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


def png_header(width: int, height: int) -> bytes:
    """Return the first bytes of a PNG that declares its size and holds no pixel."""
    chunk = b"IHDR" + struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    data = b"IDAT"
    parts = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (chunk, data)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


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


# A folder


def test_sub_folders_are_labels(tmp_path: Path) -> None:
    put(tmp_path, "dog/1.png", "cat/deep/2.png", "3.png")
    collection = images.from_folder(tmp_path)
    assert labels(collection) == {b"3.png": [], b"cat/deep/2.png": ["cat"], b"dog/1.png": ["dog"]}


def test_a_folder_is_listed_in_the_byte_order_of_its_paths(tmp_path: Path) -> None:
    put(tmp_path, "b.png", "a/z.png", "a.png", "Z.png", "ä.png", "a-b.png")
    names = paths(images.from_folder(tmp_path))
    assert names == [b"Z.png", b"a-b.png", b"a.png", b"a/z.png", b"b.png", "ä.png".encode()]


def test_only_image_suffixes_are_listed_in_any_case(tmp_path: Path) -> None:
    put(tmp_path, "a.PNG", "b.JpEg", "c.txt", "d", "e.svg")
    assert paths(images.from_folder(tmp_path)) == [b"a.PNG", b"b.JpEg"]


def test_hidden_files_and_folders_are_not_listed(tmp_path: Path) -> None:
    put(tmp_path, ".a.png", ".git/b.png", "c.png")
    assert paths(images.from_folder(tmp_path)) == [b"c.png"]


def test_a_folder_with_an_images_suffix_is_a_label_like_any_other(tmp_path: Path) -> None:
    put(tmp_path, "x.jpg/1.png")
    assert images.from_folder(tmp_path).class_names == ("x.jpg",)


def test_an_entry_knows_the_size_and_time_of_its_file(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    status = (tmp_path / "a.png").stat()
    (entry,) = images.from_folder(tmp_path).entries
    assert (entry.size, entry.mtime_ns) == (status.st_size, status.st_mtime_ns)


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"a\nb\t.png", b"\xff/\xfe.png", b"-rf.png", b"[red]%s\x1b.png"])
def test_any_name_is_kept_byte_for_byte_and_can_be_read(name: bytes, tmp_path: Path) -> None:
    file = os.path.join(os.fsencode(tmp_path), name)
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with open(file, "wb") as stream:
        stream.write(encoded(noise()).getvalue())
    collection = images.from_folder(tmp_path)
    assert paths(collection) == [name]
    assert np.array_equal(pixels(collection.file(collection.entries[0])), noise())


def test_a_label_that_is_not_utf_8_can_be_printed(tmp_path: Path) -> None:
    os.mkdir(os.fsencode(tmp_path) + b"/\xff")
    put(tmp_path, os.fsdecode(b"\xff/1.png"))
    assert images.from_folder(tmp_path).class_names == ("\\xff",)


def test_labels_that_are_not_utf_8_stay_apart(tmp_path: Path) -> None:
    for folder in (b"\xfe", b"\xff"):
        os.mkdir(os.fsencode(tmp_path) + b"/" + folder)
        put(tmp_path, os.fsdecode(folder + b"/1.png"))
    assert len(set(images.from_folder(tmp_path).class_names)) == 2


def test_folders_that_would_share_one_class_are_refused(tmp_path: Path) -> None:
    os.mkdir(os.fsencode(tmp_path) + b"/\xff")
    put(tmp_path, os.fsdecode(b"\xff/1.png"), "\\xff/2.png", "a/3.png")
    with pytest.raises(UsageError, match=r"two folders .* would be one class") as raised:
        images.from_folder(tmp_path)
    assert raised.value.hint == "rename one of them"


@pytest.mark.parametrize("mark", [fakes.DESCRIPTION, f"{fakes.WORK}/{pool.PLAN}"])
def test_fakes_below_a_folder_are_none_of_its_images(mark: str, tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "fakes/cat/000000.png", "fakes/grid.png")
    (tmp_path / "fakes" / mark).parent.mkdir(exist_ok=True)
    (tmp_path / "fakes" / mark).write_text("{}")
    collection = images.from_folder(tmp_path)
    assert (paths(collection), collection.class_names) == ([b"cat/1.png"], ("cat",))


def test_a_folder_of_fakes_that_is_named_itself_is_read(tmp_path: Path) -> None:
    put(tmp_path, "fakes/cat/000000.png")
    (tmp_path / "fakes" / fakes.DESCRIPTION).write_text("{}")
    assert paths(images.from_folder(tmp_path / "fakes")) == [b"cat/000000.png"]


def test_a_folder_that_happens_to_be_called_fakes_is_a_label(tmp_path: Path) -> None:
    put(tmp_path, "fakes/1.png")
    assert images.from_folder(tmp_path).class_names == ("fakes",)


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert paths(images.from_folder(tmp_path)) == [b"a/1.png"]


def test_a_link_to_nothing_is_skipped_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    assert images.from_folder(tmp_path).skipped == (images.Skipped(b"a.png", "missing"),)


def test_a_pipe_in_a_folder_is_skipped(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    assert images.from_folder(tmp_path).skipped == (images.Skipped(b"a.png", "not a regular file"),)


def test_a_sub_folder_that_cannot_be_read_is_skipped_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "a/1.png", "b/2.png")
    scan = os.scandir

    def scandir(folder: bytes) -> object:
        if folder.endswith(b"/a"):
            raise PermissionError(13, "Permission denied", folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    collection = images.from_folder(tmp_path)
    assert (paths(collection), collection.skipped) == (
        [b"b/2.png"],
        (images.Skipped(b"a", "Permission denied"),),
    )


# Names and single files


def test_names_are_relative_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(put(tmp_path, "b/1.png", "a.png"))
    names = [b"b/../b/1.png", os.fsencode(tmp_path / "a.png"), b"./b/1.png"]
    assert paths(images.from_names(names)) == [b"a.png", b"b/1.png"]


def test_names_by_a_link_to_the_current_folder_are_relative_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "here", "b/1.png", "a.png")
    put(tmp_path / "there", "2.png")
    (tmp_path / "link").symlink_to(tmp_path / "here")
    (tmp_path / "here" / "out").symlink_to(tmp_path / "there")
    monkeypatch.chdir(tmp_path / "here")
    names = [os.fsencode(tmp_path / "link" / "b/1.png"), os.fsencode(tmp_path / "link" / "a.png"), b"out/2.png"]
    collection = images.from_names(names)
    assert (collection.root, paths(collection)) == (
        os.fsencode(tmp_path / "here"),
        [b"a.png", b"b/1.png", b"out/2.png"],
    )


def test_a_name_outside_makes_all_relative_to_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "here/a.png", "there/b.png")
    monkeypatch.chdir(tmp_path / "here")
    collection = images.from_names([b"a.png", b"../there/b.png"])
    files = [collection.file(entry) for entry in collection.entries]
    assert files == [os.fsencode(tmp_path / "here" / "a.png"), os.fsencode(tmp_path / "there" / "b.png")]


@pytest.mark.parametrize("name", [b"gone.png", b"nul\0.png", b"n" * 300])
def test_a_name_that_leads_nowhere_is_skipped(name: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(put(tmp_path, "a.png"))
    collection = images.from_names([b"a.png", name])
    assert (paths(collection), len(collection.skipped)) == ([b"a.png"], 1)


def test_a_name_outside_that_leads_nowhere_is_skipped() -> None:
    assert [bad.path for bad in images.from_names([b"/nul\0/a.png"]).skipped] == [b"nul\0/a.png"]


def test_collect_takes_a_folder_a_list_or_an_image(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    (tmp_path / "list.CSV").write_text("path\na.png\n")
    sources = [tmp_path, tmp_path / "list.CSV", tmp_path / "a.png"]
    assert [os.path.basename(paths(images.collect(source))[0]) for source in sources] == [b"a.png"] * 3


def test_collecting_from_nowhere_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gone does not exist"):
        images.collect(tmp_path / "gone")


# A CSV


def listed(folder: Path, text: str | bytes) -> images.Collection:
    put(folder, "a.png", "b/c.png")
    (folder / "list.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return images.from_csv(folder / "list.csv")


def test_a_csv_gives_labels_by_name(tmp_path: Path) -> None:
    collection = listed(tmp_path, "path,label\nb/c.png,dog\na.png,cat\n")
    assert labels(collection) == {b"a.png": ["cat"], b"b/c.png": ["dog"]}


def test_several_label_columns_make_it_multi_label(tmp_path: Path) -> None:
    collection = listed(tmp_path, "path,label,label\na.png,sea,sky\nb/c.png,sky,\n")
    assert labels(collection) == {b"a.png": ["sea", "sky"], b"b/c.png": ["sky"]}
    assert collection.multi_label


def test_one_label_each_is_not_multi_label(tmp_path: Path) -> None:
    assert not listed(tmp_path, "path,label\na.png,sea\nb/c.png,sky\n").multi_label


def test_a_csv_of_paths_alone_is_unlabelled(tmp_path: Path) -> None:
    assert not listed(tmp_path, "path\na.png\n").labelled


def test_a_split_column_is_kept(tmp_path: Path) -> None:
    collection = listed(tmp_path, "path,label,split\na.png,cat,train\nb/c.png,cat,query\n")
    assert [entry.split for entry in collection.entries] == ["train", "query"]


def test_a_list_that_marks_queries_holds_them_and_what_they_search(tmp_path: Path) -> None:
    text = "path,label,split\na.png,cat,test\nb/c.png,dog,{}\n"
    for split in ("", "train", "val", "database"):
        collection = listed(tmp_path, text.format(split))
        assert paths(images.query_part(collection)) == [b"a.png"]
        assert paths(images.database_part(collection)) == [b"b/c.png"]
        assert images.database_part(collection).class_names == ("dog",)
        assert images.database_part(collection).queries == {b"a.png"}
        assert images.query_part(collection).class_names == ("cat",)
    with pytest.raises(InputError, match="the list marks 2 images as test or query, and none to be searched"):
        images.database_part(listed(tmp_path, text.format("query")))


def test_a_database_whose_images_are_all_missing_is_not_said_to_be_unmarked(tmp_path: Path) -> None:
    part = images.database_part(listed(tmp_path, "path,label,split\na.png,cat,query\ngone.png,cat,database\n"))
    assert (part.entries, [bad.path for bad in part.skipped]) == ((), [b"gone.png"])


def test_a_missing_image_is_skipped_in_its_own_part_only(tmp_path: Path) -> None:
    text = "path,label,split\na.png,cat,\nb/c.png,cat,query\ngone.png,cat,{}\n"
    for split, in_queries, in_database in (("query", 1, 0), ("", 0, 1)):
        collection = listed(tmp_path, text.format(split))
        assert len(images.query_part(collection).skipped) == in_queries
        assert len(images.database_part(collection).skipped) == in_database
        assert len(images.training_part(collection).skipped) == in_database


def test_where_all_queries_are_missing_the_database_does_not_take_their_place(tmp_path: Path) -> None:
    collection = images.query_part(listed(tmp_path, "path,label,split\na.png,cat,\ngone.png,cat,query\n"))
    assert (collection.entries, len(collection.skipped)) == ((), 1)


def test_a_list_that_marks_no_query_is_all_queries_or_all_database(tmp_path: Path) -> None:
    collection = listed(tmp_path, "path,label,split\na.png,cat,\nb/c.png,cat,database\n")
    assert images.query_part(collection) == images.database_part(collection) == collection


def test_the_header_may_have_capitals_blanks_and_a_byte_order_mark(tmp_path: Path) -> None:
    assert labels(listed(tmp_path, "\ufeffPath, Label\r\na.png,cat\r\n\r\n")) == {b"a.png": ["cat"]}


def test_quoted_names_may_hold_commas(tmp_path: Path) -> None:
    put(tmp_path, "x, y.png")
    assert paths(listed(tmp_path, 'path,label\n"x, y.png",cat\n')) == [b"x, y.png"]


def test_names_that_are_not_utf_8_are_kept(tmp_path: Path) -> None:
    put(tmp_path, os.fsdecode(b"caf\xe9.png"))
    assert paths(listed(tmp_path, b"path\ncaf\xe9.png\n")) == [b"caf\xe9.png"]


def test_a_label_that_is_not_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="line 3") as raised:
        listed(tmp_path, b"path,label\na.png,cat\nb/c.png,caf\xe9\n")
    assert "UTF-8" in raised.value.hint


def test_a_file_that_a_csv_names_in_vain_is_skipped(tmp_path: Path) -> None:
    collection = listed(tmp_path, "path\na.png\ngone.png\n")
    assert collection.skipped == (images.Skipped(b"gone.png", "missing"),)


@pytest.mark.parametrize("name", ["../a.png", "b/../../a.png", "/etc/passwd", ".."])
def test_a_path_out_of_the_folder_of_the_csv_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"line 3: .* lies outside"):
        listed(tmp_path, f"path\na.png\n{name}\n")


def test_a_name_that_only_begins_with_dots_is_inside(tmp_path: Path) -> None:
    put(tmp_path, "..a.png")
    assert paths(listed(tmp_path, "path\n..a.png\n")) == [b"..a.png"]


@pytest.mark.parametrize("header", ["", "label,path", "file,label", "path,label,colour", "a.png,cat"])
def test_another_header_is_refused_with_the_one_wanted(header: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        listed(tmp_path, f"{header}\na.png,cat\n")
    assert "path,label[,label…][,split]" in raised.value.hint


def test_a_line_with_too_many_fields_is_refused_with_its_number(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="line 2: 3 fields, but the header has 2"):
        listed(tmp_path, "path,label\na.png,cat,dog\n")


def test_a_field_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"list\.csv"):
        listed(tmp_path, "path\n" + "a" * 200_000)


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ('a.png,cat\nb/c.png,"dog\na.png,cat\n', 3),
        ('a.png,"17 inch\nb/c.png,dog\nc.png,"19 inch\n', 2),
        ('a.png,"two\nlines"\nb/c.png,"dog\n', 4),
    ],
)
def test_a_quote_without_its_other_half_is_refused_with_its_line(tmp_path: Path, rows: str, line: int) -> None:
    with pytest.raises(UsageError, match=rf"list\.csv, line {line}: ") as raised:
        listed(tmp_path, "path,label\n" + rows)
    assert "quotes" in raised.value.hint


def test_quotes_inside_a_field_and_doubled_ones_belong_to_it(tmp_path: Path) -> None:
    collection = listed(tmp_path, 'path,label\na.png,17" screen\nb/c.png,"a ""dog"""\n')
    assert labels(collection) == {b"a.png": ['17" screen'], b"b/c.png": ['a "dog"']}


def test_a_list_that_may_not_be_read_is_an_input_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "list.csv").write_text("path\na.png\n")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"list\.csv: Permission denied"):
        images.from_csv(tmp_path / "list.csv")


def test_rows_of_one_image_unite_their_labels(tmp_path: Path) -> None:
    collection = listed(tmp_path, "path,label\na.png,sky\nb/c.png,sky\n./a.png,sea\n")
    assert labels(collection) == {b"a.png": ["sea", "sky"], b"b/c.png": ["sky"]}


def test_two_splits_of_one_image_are_refused_with_both_lines(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"line 4 puts './a\.png' into the split 'query', line 2 into 'train'"):
        listed(tmp_path, "path,label,split\na.png,sky,train\nb/c.png,sky,\n./a.png,sea,query\n")


def test_blanks_around_labels_do_not_count(tmp_path: Path) -> None:
    assert listed(tmp_path, "path,label\na.png, cat\nb/c.png,cat \n").class_names == ("cat",)


def test_a_row_of_commas_alone_is_blank(tmp_path: Path) -> None:
    collection = listed(tmp_path, "path,label,split\na.png,cat,\n,,\n , ,\n")
    assert (paths(collection), collection.skipped) == ([b"a.png"], ())


def test_splits_may_have_capitals_and_blanks(tmp_path: Path) -> None:
    collection = listed(tmp_path, "path,label,split\na.png,cat, VAL\nb/c.png,cat,Train \n")
    assert [entry.split for entry in collection.entries] == ["val", "train"]


def test_an_unknown_split_is_refused_with_its_line_and_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="line 3: there is no split 'Tain'") as raised:
        listed(tmp_path, "path,label,split\na.png,cat,train\nb/c.png,cat,Tain\n")
    assert "train, val, test, query or database" in raised.value.hint


@pytest.mark.parametrize("link", [False, True])
def test_an_absolute_path_in_the_folder_of_the_csv_is_as_good_as_a_relative_one(tmp_path: Path, link: bool) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "here")
    place = put(tmp_path / "here", "a.png").with_name("link" if link else "here")
    (place / "list.csv").write_text(f"path\n{place}/a.png\n")
    assert paths(images.from_csv(place / "list.csv")) == [b"a.png"]


def test_a_path_outside_comes_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        listed(tmp_path, "path\n/etc/a.png\n")
    assert "folder of its images" in raised.value.hint


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_csv_in_utf_16_is_refused_with_what_to_save_it_as(encoding: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="UTF-16") as raised:
        listed(tmp_path, "path,label\na.png,cat\n".encode(encoding))
    assert raised.value.hint == "save it as UTF-8"


# Digest, sizes and loading


def test_the_digest_does_not_depend_on_names_and_order(tmp_path: Path) -> None:
    one, other = put(tmp_path / "one", "cat/a.png", "cat/b.png"), tmp_path / "other" / "cat"
    other.mkdir(parents=True)
    for name, new in (("a.png", "z.png"), ("b.png", "y.png")):
        (other / new).write_bytes((one / "cat" / name).read_bytes())
    digests = {images.content_digest(images.from_folder(folder)) for folder in (one, other.parent)}
    assert len(digests) == 1


def test_the_digest_is_over_each_content_and_its_labels(tmp_path: Path) -> None:
    folder = put(tmp_path, "cat/a.png", "b.png")
    content = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("cat/a.png", "b.png")}
    lines = sorted([f"{content['cat/a.png']}\tcat", content["b.png"]])
    expected = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert images.content_digest(images.from_folder(folder)) == expected


def test_a_file_that_is_gone_counts_for_nothing_in_the_digest(tmp_path: Path) -> None:
    collection = images.from_folder(put(tmp_path, "a.png", "b.png"))
    (tmp_path / "b.png").unlink()
    assert images.content_digest(collection) == images.content_digest(images.from_folder(tmp_path))


def test_short_sides_are_read_from_the_headers(tmp_path: Path) -> None:
    for name, size in (("a.png", (30, 20)), ("b.png", (7, 90))):
        (tmp_path / name).write_bytes(png_header(*size))
    (tmp_path / "c.png").write_bytes(b"no image")
    assert images.short_sides(images.from_folder(tmp_path)).tolist() == [20, 7]


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5])
def test_no_more_headers_are_read_than_asked_for(most: int, tmp_path: Path) -> None:
    collection = images.from_folder(put(tmp_path, *(f"{index}.png" for index in range(5))))
    assert 1 <= len(images.short_sides(collection, most)) <= most


def test_loading_keeps_the_order_and_leaves_out_exactly_the_bad_file(tmp_path: Path) -> None:
    names = [f"{index:02d}.png" for index in range(70)]
    put(tmp_path, *names)
    (tmp_path / "33.png").write_bytes(b"no image")
    loaded = finish(images.load(images.from_folder(tmp_path), 8))
    good = [name for name in names if name != "33.png"]
    assert [entry.path.decode() for entry in loaded.entries] == good
    assert [skipped.path for skipped in loaded.skipped] == [b"33.png"]
    assert np.array_equal(loaded.array, [square(os.fsencode(tmp_path / name), 8) for name in good])


def test_strict_loading_stops_at_the_bad_file_and_names_it(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"b\.png: not an image of a known format"):
        finish(images.load(images.from_folder(tmp_path), 8, strict=True))


@pytest.mark.parametrize("names", [[], ["a.png", "b.png"]])
def test_loading_nothing_usable_is_an_input_error(names: list[str], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(InputError, match="holds no usable image"):
        finish(images.load(images.from_folder(tmp_path), 8))


def test_what_does_not_fit_in_memory_is_loaded_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = images.from_folder(put(tmp_path, "a.png", "b.png"))
    in_memory = finish(images.load(collection, 8)).array
    monkeypatch.setattr(images, "_IN_MEMORY_BYTES", 0)
    assert np.array_equal(finish(images.load(collection, 8, scratch=tmp_path)).array, in_memory)


def test_a_disk_without_room_for_what_is_decoded_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.png")

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(images, "_IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StorageError, match="No space left on device"):
        finish(images.load(images.from_folder(tmp_path), 8, scratch=tmp_path))


def test_loading_says_how_far_it_is(tmp_path: Path) -> None:
    put(tmp_path, *(f"{index}.png" for index in range(65)))
    steps = [(progress.done, progress.total) for progress in images.load(images.from_folder(tmp_path), 8)]
    assert steps == [(64, 65), (65, 65)]


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

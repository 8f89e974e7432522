"""Images are listed by exact names, whatever a folder holds, and loaded with the bad ones left out."""

import errno
import hashlib
import os
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ganhash_cli.engine import fakes, images, pool
from ganhash_cli.engine.decoding import decode, square
from ganhash_cli.engine.progress import finish
from ganhash_cli.errors import InputError, StorageError, UsageError

Array = NDArray[np.uint8]


def noise(height: int = 20, width: int = 30, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(image: Image.Image | Array, kind: str = "PNG", **options: object) -> BytesIO:
    stream = BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(stream, kind, **options)
    return BytesIO(stream.getvalue())


def put(folder: Path, *names: str) -> Path:
    """Write a small image, a different one each, under every name."""
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encoded(noise(seed=seed)).getvalue())
    return folder


def png_header(width: int, height: int) -> bytes:
    """Return the first bytes of a PNG that declares its size and holds no pixel."""
    chunk = b"IHDR" + struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    data = b"IDAT"
    parts = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (chunk, data)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def paths(collection: images.Collection) -> list[bytes]:
    return [entry.path for entry in collection.entries]


def labels(collection: images.Collection) -> dict[bytes, list[str]]:
    return {entry.path: [collection.class_names[label] for label in entry.labels] for entry in collection.entries}


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
    assert np.array_equal(decode(collection.file(collection.entries[0])), noise())


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

"""`ganhash dedup` from the outside: its groups, what it prints and keeps, how it ends, and what it never does."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganhash_cli.engine import codes, images
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.codes_format import Header, Rows
from ganhash_cli.engine.encoder import encode
from linear_hash import BITS, SIDE, LinearHash, write_bundle
from pictures import paint_classes
from test_encode_command import Printed, run

LENGTH = 32  # bits of the codes that are made up here


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder with a model to work in."""
    monkeypatch.chdir(tmp_path)
    write_bundle(Path("model"))


def store(path: str, rows: dict[str, int], *, root: str = "folder", model: int = 0) -> None:
    """Write a codes file in which each file below `root` has that number as its code, whatever it shows."""
    names = sorted(rows, key=os.fsencode)
    numbers = np.array([rows[name] for name in names], ">u4")
    statuses = [os.stat(Path(root, name)) for name in names]
    header = Header(LENGTH, f"{model:064x}", os.path.realpath(os.fsencode(root)), SIDE, "nothing")
    content = Rows(
        numbers.view(np.uint8).reshape(len(names), 4),
        [os.fsencode(name) for name in names],
        np.array([status.st_size for status in statuses], np.uint64),
        np.array([status.st_mtime_ns for status in statuses], np.int64),
        np.ones(len(names), np.uint8),
    )
    codes.write(Path(path), header, content)


def noise(name: str, size: tuple[int, int] = (16, 16), seed: int = 0, root: str = "folder") -> None:
    """Write a picture of noise, the same for the same size and seed."""
    path = Path(root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def grouped(capsys: Printed, *arguments: str) -> list[dict[str, Any]]:
    """Run with --json; return the groups."""
    code, out, error = run(capsys, "dedup", *arguments, "--json")
    assert code == 0, error
    return [json.loads(line) for line in out.splitlines()]


def names(group: dict[str, Any]) -> list[str]:
    return [Path(image["path"]).name for image in group["images"]]


def kinds(group: dict[str, Any]) -> list[tuple[str, str, int]]:
    return [(Path(image["path"]).name, image["kind"], image["distance"]) for image in group["images"]]


def listed(*arguments: str) -> list[bytes]:
    """Return what is printed with -0, by a process of its own, name by name."""
    command = [sys.executable, "-m", "ganhash_cli", "dedup", *arguments, "-0", "-q"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout.endswith(b"\0") or not done.stdout
    return done.stdout.split(b"\0")[:-1]


def contents(folder: str) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


def test_groups_come_with_the_best_first_by_resolution_then_size_then_path(capsys: Printed) -> None:
    for name, size in {"d.png": (20, 20), "c.png": (40, 40), "b.bmp": (20, 20), "a.png": (20, 20)}.items():
        noise(name, size, seed=len(name))
    store("codes.h5", dict.fromkeys(("a.png", "b.bmp", "c.png", "d.png"), 7))
    by_size = sorted(("a.png", "b.bmp", "d.png"), key=lambda name: (-Path("folder", name).stat().st_size, name))
    assert [names(group) for group in grouped(capsys, "codes.h5")] == [["c.png", *by_size]]


def test_a_group_is_what_lies_near_its_best_image_and_no_chain(capsys: Printed) -> None:
    for seed, name in enumerate(("a.png", "b.png", "c.png")):
        noise(name, (30 - seed, 30), seed=seed)
    store("codes.h5", {"a.png": 0b0000, "b.png": 0b0011, "c.png": 0b1111})
    [group] = grouped(capsys, "codes.h5", "--max-distance", "2")
    assert kinds(group) == [("a.png", "best", 0), ("b.png", "near", 2)]


def test_the_best_image_gathers_both_ends_of_a_chain_from_its_middle(capsys: Printed) -> None:
    for name, side in {"a.png": 20, "b.png": 40, "c.png": 30}.items():
        noise(name, (side, side), seed=side)
    store("codes.h5", {"a.png": 0b0000, "b.png": 0b0011, "c.png": 0b1111})
    [group] = grouped(capsys, "codes.h5", "--max-distance", "2")
    assert kinds(group) == [("b.png", "best", 0), ("c.png", "near", 2), ("a.png", "near", 2)]


def test_equal_codes_of_other_pixels_are_near_and_equal_pixels_exact(capsys: Printed) -> None:
    noise("a.png", seed=1)
    shutil.copy("folder/a.png", "folder/b.png")
    noise("c.png", seed=2)
    with Image.open("folder/a.png") as image:
        image.save("folder/d.bmp")
    store("codes.h5", dict.fromkeys(("a.png", "b.png", "c.png", "d.bmp"), 5))
    [group] = grouped(capsys, "codes.h5")
    assert {name: kind for name, kind, _ in kinds(group)} == {
        "a.png": "best",
        "b.png": "exact",
        "c.png": "near",
        "d.bmp": "exact",
    }


def test_a_copy_of_an_image_that_is_only_near_the_best_is_exact_too(capsys: Printed) -> None:
    noise("best.png", (30, 30))
    noise("x.png", seed=1)
    shutil.copy("folder/x.png", "folder/y.png")
    store("codes.h5", {"best.png": 0, "x.png": 1, "y.png": 1})
    [group] = grouped(capsys, "codes.h5")
    assert kinds(group) == [("best.png", "best", 0), ("x.png", "near", 1), ("y.png", "exact", 1)]


def test_moving_pictures_of_one_first_frame_are_not_exact(capsys: Printed) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    Path("folder").mkdir()
    frames[0].save("folder/a.gif", save_all=True, append_images=[frames[1]])
    frames[0].save("folder/b.gif", save_all=True, append_images=[frames[2]])
    shutil.copy("folder/a.gif", "folder/c.gif")
    store("codes.h5", dict.fromkeys(("a.gif", "b.gif", "c.gif"), 5))
    [group] = grouped(capsys, "codes.h5")
    assert sorted(kind for _, kind, _ in kinds(group)) == ["best", "exact", "near"]
    assert {name: kind for name, kind, _ in kinds(group)}["b.gif"] in ("near", "best")


def test_exact_finds_identical_images_only_and_parts_those_of_one_code(capsys: Printed) -> None:
    for seed, name in enumerate(("a.png", "b.png", "c.png")):
        noise(name, seed=seed)
    shutil.copy("folder/a.png", "folder/a2.png")
    shutil.copy("folder/b.png", "folder/b2.png")
    store("codes.h5", dict.fromkeys(("a.png", "a2.png", "b.png", "b2.png", "c.png"), 5))
    found = grouped(capsys, "codes.h5", "--exact")
    assert sorted(sorted(names(group)) for group in found) == [["a.png", "a2.png"], ["b.png", "b2.png"]]
    assert {kind for group in found for _, kind, _ in kinds(group)} == {"best", "exact"}


def test_exact_finds_equal_pictures_whose_codes_are_only_near(capsys: Printed) -> None:
    noise("a.png", seed=1)
    noise("b.png", seed=2)
    for path in (Path("folder/same.bmp"), Path("incoming/same.bmp")):
        path.parent.mkdir(exist_ok=True)
        with Image.open("folder/a.png") as image:
            image.save(path)
    store("codes.h5", {"a.png": 0b01, "b.png": 0b10, "same.bmp": 0b00})
    [group] = grouped(capsys, "codes.h5", "--exact")
    assert sorted(names(group)) == ["a.png", "same.bmp"]
    store("library.h5", {"a.png": 0b01})
    store("incoming.h5", {"same.bmp": 0b00}, root="incoming")
    [group] = grouped(capsys, "incoming.h5", "--reference", "library.h5", "--exact")
    assert kinds(group) == [("a.png", "reference", 0), ("same.bmp", "exact", 1)]


def test_one_bit_in_sixteen_is_near_unless_told_otherwise(capsys: Printed) -> None:
    for seed, name in enumerate(("a.png", "b.png", "c.png")):
        noise(name, (30 - seed, 30), seed=seed)
    store("codes.h5", {"a.png": 0, "b.png": 0b11, "c.png": 0b11100})
    assert [names(group) for group in grouped(capsys, "codes.h5")] == [["a.png", "b.png"]]
    assert [names(group) for group in grouped(capsys, "codes.h5", "--max-distance", "3")] == [
        ["a.png", "b.png", "c.png"]
    ]


def test_json_has_one_record_a_group(capsys: Printed) -> None:
    noise("a.png", (20, 10))
    shutil.copy("folder/a.png", "folder/b.png")
    store("codes.h5", {"a.png": 0, "b.png": 0})
    size = Path("folder/a.png").stat().st_size
    image = {"distance": 0, "width": 20, "height": 10, "size": size, "fault": None}
    assert grouped(capsys, "codes.h5") == [
        {
            "schema": 1,
            "group": 1,
            "bits": LENGTH,
            "images": [
                {"kind": "best", "path": "folder/a.png", "id": 0, **image},
                {"kind": "exact", "path": "folder/b.png", "id": 1, **image},
            ],
        }
    ]


def test_a_table_has_a_row_an_image_with_its_group(capsys: Printed) -> None:
    noise("a.png", (20, 10))
    noise("b.png", (10, 10))
    store("codes.h5", {"a.png": 0, "b.png": 1})
    code, out, error = run(capsys, "dedup", "codes.h5")
    sizes = [str(Path("folder", name).stat().st_size) for name in ("a.png", "b.png")]
    assert code == 0
    assert [line.split("\t") for line in out.splitlines()] == [
        ["1", "best", "", "20x10", sizes[0], "folder/a.png"],
        ["1", "near", "1", "10x10", sizes[1], "folder/b.png"],
    ]
    assert "1 group: 0 exact and 1 near duplicate, " in error


def test_a_missing_file_is_shown_as_missing_and_never_listed(capsys: Printed) -> None:
    for seed, name in enumerate(("a.png", "b.png", "c.png")):
        noise(name, (30 - seed, 30), seed=seed)
    store("codes.h5", dict.fromkeys(("a.png", "b.png", "c.png"), 5))
    Path("folder/a.png").unlink()
    [group] = grouped(capsys, "codes.h5")
    assert [(name["path"], name["fault"]) for name in group["images"]] == [
        ("folder/b.png", None),
        ("folder/c.png", None),
        ("folder/a.png", "missing"),
    ]
    assert listed("codes.h5", "--max-distance", "2") == [b"folder/c.png"]


@pytest.mark.parametrize("options", [["--exact"], ["-f"], ["--exact", "--reference", "codes.h5"]])
def test_where_no_image_is_there_any_more_identical_pixels_are_no_answer(capsys: Printed, options: list[str]) -> None:
    for name in ("a.png", "b.png"):
        noise(name)
    store("codes.h5", {"a.png": 0, "b.png": 0})
    Path("folder").rename("moved")
    code, out, error = run(capsys, "dedup", "codes.h5", *options)
    assert (code, out) == (4, "")
    assert "none of 2 images with alike codes can be compared: 2 missing" in error


@pytest.mark.parametrize("options", [[], ["--exact"], ["--reference", "codes.h5"]])
def test_images_that_are_gone_are_warned_of(capsys: Printed, options: list[str]) -> None:
    for name in ("a.png", "b.png", "c.png", "d.png"):
        noise(name)
    store("codes.h5", dict.fromkeys(("a.png", "b.png", "c.png", "d.png"), 0))
    Path("folder/a.png").unlink()
    _, _, error = run(capsys, "dedup", "codes.h5", *options)
    assert "warning: codes.h5: 1 of 4 images with alike codes cannot be compared: 1 missing" in error


def test_a_file_that_was_changed_since_is_told_of_and_never_listed(capsys: Printed) -> None:
    noise("a.png")
    shutil.copy("folder/a.png", "folder/b.png")
    store("codes.h5", {"a.png": 0, "b.png": 0})
    noise("a.png", (64, 64), seed=3)
    [group] = grouped(capsys, "codes.h5")
    assert [image["fault"] for image in group["images"]] == [None, "changed since it was encoded"]
    assert listed("codes.h5", "--max-distance", "2") == []


def test_a_file_with_an_impossible_time_is_no_changed_one(capsys: Printed) -> None:
    paint_classes(Path("folder"), each=1)
    shutil.copy("folder/red/00.png", "folder/copy.png")
    os.utime("folder/copy.png", (10_413_792_000, 10_413_792_000))  # in 2300
    run(capsys, "encode", "folder")
    [group] = grouped(capsys, "codes.h5", "--exact")
    assert [image["fault"] for image in group["images"]] == [None, None]


@pytest.mark.parametrize("flag", ["-f", "-0"])
def test_names_of_near_ones_are_listed_only_where_a_distance_was_given(capfd: Printed, flag: str) -> None:
    noise("a.png", (30, 30))
    shutil.copy("folder/a.png", "folder/b.png")
    noise("c.png", seed=2)
    store("codes.h5", {"a.png": 0, "b.png": 0, "c.png": 1})
    code, out, error = run(capfd, "dedup", "codes.h5", flag)
    assert (code, re.split("[\n\0]", out)) == (0, ["folder/b.png", ""])
    assert "--max-distance 2 lists near ones too" in error
    _, out, _ = run(capfd, "dedup", "codes.h5", flag, "--max-distance", "2")
    assert re.split("[\n\0]", out) == ["folder/b.png", "folder/c.png", ""]


def test_where_only_near_ones_are_there_to_list_the_way_to_them_is_said(capsys: Printed) -> None:
    noise("a.png")
    noise("b.png", seed=1)
    store("codes.h5", {"a.png": 0, "b.png": 0})
    code, out, error = run(capsys, "dedup", "codes.h5", "-f")
    assert (code, out, "hint: --max-distance 2 lists near ones too" in error) == (10, "", True)


def test_redundant_names_are_exact_bytes_that_no_program_takes_for_options() -> None:
    odd = [b"-rf.png", b"a\n\xff.png"]
    for name in (b"+.png", *odd):
        noise(os.fsdecode(name), root=".")
    store("codes.h5", {os.fsdecode(name): 0 for name in (b"+.png", *odd)}, root=".")
    assert sorted(listed("codes.h5")) == [b"./-rf.png", b"a\n\xff.png"]


def test_names_that_are_not_utf8_stand_in_json_in_base64(capsys: Printed) -> None:
    noise("a.png")
    noise(os.fsdecode(b"\xff.png"))
    store("codes.h5", {"a.png": 0, os.fsdecode(b"\xff.png"): 0})
    [group] = grouped(capsys, "codes.h5")
    assert group["images"][1]["path_b64"] == "Zm9sZGVyL/8ucG5n"


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_two_names_of_one_file_are_no_duplicates(capsys: Printed, link: Any) -> None:
    noise("b.png")
    link(Path("folder/b.png").resolve(), "folder/a.png")
    store("codes.h5", {"a.png": 0, "b.png": 0})
    code, out, _ = run(capsys, "dedup", "codes.h5")
    assert (code, out) == (10, "")


def test_a_folder_is_encoded_first_and_unchanged_images_not_again(capsys: Printed) -> None:
    paint_classes(Path("folder"))
    shutil.copy("folder/red/00.png", "folder/copy.png")
    _, _, error = run(capsys, "dedup", "folder", "--exact")
    assert "folder: 37 encoded, 0 kept; the codes are in codes.h5" in error
    code, out, error = run(capsys, "dedup", "folder", "--exact")
    assert "folder: 0 encoded, 37 kept" in error
    assert (code, sorted(Path(line.split("\t")[5]).name for line in out.splitlines())) == (0, ["00.png", "copy.png"])


def test_codes_of_another_folder_are_left_alone(capsys: Printed) -> None:
    paint_classes(Path("folder"))
    paint_classes(Path("other"), each=2)
    shutil.copy("other/red/00.png", "other/copy.png")
    run(capsys, "encode", "folder")
    before = Path("codes.h5").read_bytes()
    code, _, error = run(capsys, "dedup", "other", "--exact")
    assert (code, "the codes are in other.codes.h5" in error) == (0, True)
    assert Path("codes.h5").read_bytes() == before


def test_what_a_stopped_encode_has_of_another_folder_is_left_alone(capsys: Printed) -> None:
    paint_classes(Path("folder"), each=2)
    paint_classes(Path("other"), each=2)
    shutil.copy("other/red/00.png", "other/copy.png")
    work = encode(Bundle.open(Path("model")), images.collect(Path("folder")), Path("codes.h5"), runtime=LinearHash())
    next(work)
    work.close()
    code, _, error = run(capsys, "dedup", "other", "--exact")
    assert (code, "the codes are in other.codes.h5" in error) == (0, True), error
    assert "folder: 0 encoded, 6 kept; the codes are in codes.h5" in run(capsys, "dedup", "folder")[2]


@pytest.mark.parametrize(
    "arguments", [("list.csv",), ("folder", "--precision", "bfloat16"), ("folder", "--shard", "1/2", "-o", "part.h5")]
)
def test_codes_that_would_lose_rows_labels_or_their_arithmetic_are_left_alone(
    capsys: Printed, arguments: tuple[str, ...]
) -> None:
    paint_classes(Path("folder"), each=2)
    shutil.copy("folder/red/00.png", "folder/copy.png")
    names = [str(path.relative_to("folder")) for path in contents("folder")]
    Path("folder/list.csv").write_text("\n".join(["path,label", *(f"{name},warm" for name in names)]))
    arguments = tuple("folder/list.csv" if word == "list.csv" else word for word in arguments)
    assert run(capsys, "encode", *arguments)[0] == 0
    if "part.h5" in arguments:
        Path("part.h5").rename("codes.h5")
    before = Path("codes.h5").read_bytes()
    code, _, error = run(capsys, "dedup", "folder", "--exact")
    assert (code, "the codes are in folder.codes.h5" in error) == (0, True), error
    assert Path("codes.h5").read_bytes() == before


def test_codes_of_a_folder_take_in_the_images_that_came_since(capsys: Printed) -> None:
    paint_classes(Path("folder"), each=2)
    run(capsys, "encode", "folder")
    time.sleep(0.05)  # file systems tell no shorter times apart
    shutil.copy("folder/red/00.png", "folder/copy.png")
    assert "folder: 1 encoded, 6 kept; the codes are in codes.h5" in run(capsys, "dedup", "folder", "--exact")[2]


def test_codes_that_left_images_of_the_folder_out_are_copied_and_not_added_to(capsys: Printed) -> None:
    paint_classes(Path("folder"), each=2)
    shutil.copy("folder/red/00.png", "folder/copy.png")
    rows = [path.relative_to("folder") for path in sorted(Path("folder").rglob("*/*.png"))]
    Path("folder/list.csv").write_text(
        "path,label,split\n" + "".join(f"{row},{row.parent},\n" for row in rows) + "copy.png,,query\n"
    )
    run(capsys, "encode", "folder/list.csv")
    before = Path("codes.h5").read_bytes()
    assert "folder: 1 encoded, 6 kept; the codes are in folder.codes.h5" in run(capsys, "dedup", "folder", "--exact")[2]
    assert "folder: 0 encoded, 7 kept; the codes are in folder.codes.h5" in run(capsys, "dedup", "folder", "--exact")[2]
    assert Path("codes.h5").read_bytes() == before


def test_where_no_place_is_free_nothing_is_replaced(capsys: Printed) -> None:
    paint_classes(Path("folder"), each=2)
    paint_classes(Path("other"), each=2)
    run(capsys, "encode", "folder")
    shutil.copy("codes.h5", "other.codes.h5")
    code, _, error = run(capsys, "dedup", "other")
    assert (code, "ganhash encode FOLDER -o FILE" in error) == (2, True)
    assert Path("codes.h5").read_bytes() == Path("other.codes.h5").read_bytes()


def test_a_file_that_cannot_be_read_is_named_and_exit_3(capsys: Printed) -> None:
    paint_classes(Path("folder"), each=2)
    shutil.copy("folder/red/00.png", "folder/copy.png")
    Path("folder/bad.png").write_bytes(b"no image")
    code, out, error = run(capsys, "dedup", "folder", "--exact")
    assert (code, len(out.splitlines()), "skipped folder/bad.png" in error) == (3, 2, True)


def test_a_reference_tells_what_it_holds_already(capsys: Printed) -> None:
    noise("kept.png", seed=1, root="library")
    noise("far.png", seed=2, root="library")
    for name, seed in {"same.png": 1, "alike.png": 3, "new.png": 4, "new2.png": 4}.items():
        noise(name, seed=seed, root="incoming")
    store("library.h5", {"kept.png": 0, "far.png": 0xFF00}, root="library")
    store("incoming.h5", {"same.png": 0, "alike.png": 1, "new.png": 0xFF, "new2.png": 0xFF}, root="incoming")
    [group] = grouped(capsys, "incoming.h5", "--reference", "library.h5")
    assert (group["images"][0]["kind"], group["images"][0]["path"]) == ("reference", "library/kept.png")
    assert sorted(kinds(group)[1:]) == [("alike.png", "near", 1), ("same.png", "exact", 0)]
    near_too = listed("incoming.h5", "--reference", "library.h5", "--max-distance", "2")
    assert sorted(near_too) == [b"incoming/alike.png", b"incoming/same.png"]
    assert listed("incoming.h5", "--reference", "library.h5") == [b"incoming/same.png"]
    [group] = grouped(capsys, "incoming.h5", "--reference", "library.h5", "--exact")
    assert names(group) == ["kept.png", "same.png"]


def test_the_nearest_of_the_reference_is_named_and_of_equal_codes_the_equal_picture(capsys: Printed) -> None:
    for name, size, seed in (("big.png", 40, 1), ("same.png", 16, 2), ("farther.png", 50, 3)):
        noise(name, (size, size), seed=seed, root="library")
    noise("a.png", seed=2, root="incoming")
    noise("b.png", seed=9, root="incoming")
    store("library.h5", {"big.png": 0, "same.png": 0, "farther.png": 1}, root="library")
    store("incoming.h5", {"a.png": 0, "b.png": 0}, root="incoming")
    found = grouped(capsys, "incoming.h5", "--reference", "library.h5")
    assert [names(group) for group in found] == [["big.png", "b.png"], ["same.png", "a.png"]]


def test_of_several_nearest_codes_of_the_reference_the_best_image_is_named_or_the_equal_picture(
    capsys: Printed,
) -> None:
    noise("a.png", (32, 32), seed=1, root="library")
    noise("b.png", (64, 64), seed=2, root="library")
    noise("same.png", (16, 16), seed=3, root="library")
    noise("x.png", seed=4, root="incoming")
    noise("y.png", seed=3, root="incoming")
    noise("z.png", seed=5, root="incoming")
    store("library.h5", {"a.png": 0b001, "b.png": 0b010, "same.png": 0b100}, root="library")
    store("incoming.h5", {"x.png": 0, "y.png": 0, "z.png": 0b1010}, root="incoming")
    found = grouped(capsys, "incoming.h5", "--reference", "library.h5")
    assert [names(group) for group in found] == [["b.png", "x.png", "z.png"], ["same.png", "y.png"]]


def test_what_is_gone_from_the_reference_makes_nothing_redundant(capsys: Printed) -> None:
    noise("kept.png", root="library")
    noise("same.png", root="incoming")
    store("library.h5", {"kept.png": 0}, root="library")
    store("incoming.h5", {"same.png": 0}, root="incoming")
    Path("library/kept.png").unlink()
    [group] = grouped(capsys, "incoming.h5", "--reference", "library.h5")
    assert group["images"][0]["fault"] == "missing"
    assert listed("incoming.h5", "--reference", "library.h5", "--max-distance", "2") == []


def test_an_image_is_no_duplicate_of_itself_in_the_reference(capsys: Printed) -> None:
    noise("a.png")
    noise("b.png", seed=1)
    store("codes.h5", {"a.png": 0, "b.png": 0xFF00})
    assert run(capsys, "dedup", "codes.h5", "--reference", "codes.h5")[:2] == (10, "")


def test_a_folder_is_a_reference_too(capsys: Printed) -> None:
    paint_classes(Path("library"), each=2)
    paint_classes(Path("incoming"), each=1)
    noise("new.png", (64, 64), root="incoming")
    run(capsys, "encode", "library")
    code, out, error = run(capsys, "dedup", "incoming", "--reference", "library", "--exact", "-f")
    assert (code, "library: 0 encoded, 6 kept" in error) == (0, True)
    assert sorted(out.split()) == [f"incoming/{colour}/00.png" for colour in ("blue", "green", "red")]


def test_a_reference_of_another_model_is_exit_5(capsys: Printed) -> None:
    noise("a.png")
    store("codes.h5", {"a.png": 0})
    store("other.h5", {"a.png": 0}, model=1)
    code, out, error = run(capsys, "dedup", "codes.h5", "--reference", "other.h5")
    assert (code, out, "encode both with one model" in error) == (5, "", True)


def test_nothing_found_is_exit_10(capsys: Printed) -> None:
    noise("a.png")
    noise("b.png", seed=1)
    store("codes.h5", {"a.png": 0, "b.png": 0xFFFF})
    code, out, error = run(capsys, "dedup", "codes.h5")
    assert (code, out, f"at most 2 of {LENGTH} bits apart" in error) == (10, "", True)


def test_codes_of_no_image_are_exit_10(capsys: Printed) -> None:
    Path("folder").mkdir()
    store("codes.h5", {})
    assert run(capsys, "dedup", "codes.h5")[0] == 10


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["none.h5"], 4, "none.h5 does not exist"),
        (["damaged.h5"], 6, "damaged.h5"),
        (["codes.h5", "--reference", "none.h5"], 4, "none.h5 does not exist"),
        (["codes.h5", "--exact", "--max-distance", "2"], 2, "--exact allows no --max-distance"),
        (["codes.h5", "--html", "out.png"], 2, "--html out.html"),
        (["empty"], 4, "holds no usable image"),
        (["folder", "--model", "none"], 4, "none"),
    ],
)
def test_what_cannot_be_done_is_told(capsys: Printed, arguments: Sequence[str], code: int, said: str) -> None:
    noise("a.png")
    store("codes.h5", {"a.png": 0})
    Path("damaged.h5").write_bytes(b"nothing")
    Path("empty").mkdir()
    ended, out, error = run(capsys, "dedup", *arguments)
    assert (ended, out, said in error) == (code, "", True), error


@pytest.mark.parametrize(("count", "warned"), [(22, True), (21, False)])
def test_codes_that_tell_kinds_apart_and_not_images_are_warned_of(capsys: Printed, count: int, warned: bool) -> None:
    for seed in range(count):
        noise(f"{seed}.png", seed=seed)
    store("codes.h5", {f"{seed}.png": 0 for seed in range(count)})
    said = f"one group holds {count - 1} near duplicates"
    assert (said in run(capsys, "dedup", "codes.h5")[2]) is warned


def test_a_gallery_shows_every_group(capsys: Printed) -> None:
    noise("a.png", (20, 10))
    shutil.copy("folder/a.png", "folder/b.png")
    noise("c.png", seed=1)
    noise("d.png", seed=2)
    store("codes.h5", {"a.png": 0, "b.png": 0, "c.png": 0xFF00, "d.png": 0xFF01})
    code, out, error = run(capsys, "dedup", "codes.h5", "--html", "out.html")
    page = Path("out.html").read_text()
    assert (code, len(out.splitlines()), re.search(r"gallery of \d+\.\d kB: out\.html", error) is not None) == (
        0,
        4,
        True,
    )
    assert (page.count("<section "), page.count("<img "), "20x10" in page) == (2, 4, True)


def test_nothing_is_ever_deleted_or_changed(capsys: Printed) -> None:
    paint_classes(Path("folder"), each=2)
    shutil.copytree("folder/red", "folder/again")
    before = contents("folder")
    for options in ([], ["-f"], ["-0"], ["--json"], ["--html", "out.html"], ["--exact"], ["--reference", "folder"]):
        assert run(capsys, "dedup", "folder", *options)[0] in (0, 10)
    assert contents("folder") == before


def test_piped_to_a_program_that_removes_one_image_of_each_group_is_left() -> None:
    paint_classes(Path("folder"), each=2)
    shutil.copytree("folder/red", "folder/again")
    for name in listed("folder", "--exact"):
        Path(os.fsdecode(name)).unlink()
    assert [path.parent.name for path in contents("folder")] == ["again", "again", "blue", "blue", "green", "green"]


@pytest.mark.parametrize("arguments", [["folder"], ["folder", "--json"], ["folder", "--html", "out.html"]])
def test_no_large_package_is_loaded(arguments: list[str]) -> None:
    paint_classes(Path("folder"), each=2)
    shutil.copytree("folder/red", "folder/again")
    program = (
        "import sys\nfrom ganhash_cli.app import main\n"
        f"try: main(['dedup', *{arguments!r}])\nexcept SystemExit as end: assert not end.code\n"
        "large = {'torch', 'torchvision', 'timm', 'faiss', 'matplotlib', 'onnx', 'scipy'}\n"
        "print(sorted(large & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_bits_of_the_test_model_leave_only_equal_codes_near(capsys: Printed) -> None:
    paint_classes(Path("folder"))
    _, _, error = run(capsys, "dedup", "folder")
    assert f"at most 0 of {BITS} bits apart" in error

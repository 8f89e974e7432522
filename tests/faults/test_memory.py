"""Little memory costs images or ends the run by its exit code, never by a crash; a million names take little of it."""

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from linear_hash import write_bundle
from pictures import paint_classes
from reliability_card import record

LIMITS = range(400, 2100, 200)  # megabytes
BYTES_A_FILE = 300
PLANNING = """
import sys, time
from pathlib import Path
from ganhash_cli.engine import images
from ganhash_cli.engine.codes_format import Header
from ganhash_cli.engine.draft import Draft
def peak():
    # Of this program alone; getrusage knows that of what it was started from too.
    return 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
before, began = peak(), time.monotonic()
found = images.collect(Path(sys.argv[1]))
draft = Draft(Header(32, "ab" * 32, found.root, 64, "photos", found.class_names), found)
print(len(draft.entries), (peak() - before) / len(draft.entries), time.monotonic() - began)
"""


def links(folder: Path, count: int) -> None:
    """Fill a folder with so many names, in folders of ten thousand, each of one file: few are quickly made."""
    for start in range(0, count, 10_000):
        part = folder / f"{start // 10_000:04}"
        part.mkdir()
        (part / "one").touch()
        for number in range(min(10_000, count - start)):
            os.link(part / "one", part / f"{number:06}.jpg")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_planning_a_million_files_takes_300_bytes_each(tmp_path: Path) -> None:
    """D5: listing them and the draft of their codes, by the memory of the whole process."""
    links(tmp_path, 1_000_000)
    done = subprocess.run([sys.executable, "-c", PLANNING, tmp_path], capture_output=True, text=True, check=True)
    subprocess.run(["rm", "-rf", *tmp_path.iterdir()], check=True)
    files, each, seconds = map(float, done.stdout.split())
    assert files == 1_000_000
    assert 100 < each <= BYTES_A_FILE
    record(
        "D5",
        "a million files listed, and room made for their codes",
        files=int(files),
        bytes_a_file=round(each),
        seconds=round(seconds, 1),
    )


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder of small images and of 50 megapixels, beside a model."""
    write_bundle(tmp_path / "model")
    folder = paint_classes(tmp_path / "mixed", each=4)
    Image.new("RGB", (8000, 6250), "red").save(folder / "large.jpg")
    for mode in ("RGBA", "I;16"):
        Image.new(mode, (8000, 6250), 99).save(folder / f"large-{mode[0]}.png", compress_level=1)
    return folder


def encode_within(megabytes: int, folder: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Encode a folder by processes that may each have so much address space."""
    command = [sys.executable, "-m", "ganhash_cli", "encode", folder, "--model", folder.parent / "model", "-o", out]
    return subprocess.run(
        [*command, "--json"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20,) * 2),
    )


@pytest.mark.slow
def test_however_little_memory_there_is_the_end_is_one_that_is_documented(mixed: Path, tmp_path: Path) -> None:
    """D4: from what Python itself just starts in to the 2 GB in which all images are encoded."""
    seen = []
    for megabytes in LIMITS:
        ended = encode_within(megabytes, mixed, tmp_path / "codes.h5")
        said = ended.stdout + ended.stderr
        assert ended.returncode in (0, 3, 7), f"{megabytes} MB: exit {ended.returncode}: {said}"
        assert not re.search("Traceback|bug in ganhash", said)
        (tmp_path / "codes.h5").unlink(missing_ok=True)
        seen.append(ended.returncode)
    assert '"images": 15' in said
    assert (seen[0], seen[-1]) == (3, 0)  # with little, the large ones alone are skipped
    ends = {f"exit_{code}": seen.count(code) for code in sorted(set(seen))}
    what = "`encode` of images, three of 50 megapixels, by processes of 400 MB to 2 GB of address space each"
    record("D4", what, limits=len(seen), **ends, crashes=0)

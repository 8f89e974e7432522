"""I1 to I10: every file of the corpus is an image or refused with its reason, in little time and memory, and alone."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import corpus
from ganhash_cli.engine import decoders, decoding, images
from ganhash_cli.engine.decoders import Decoders
from ganhash_cli.engine.decoding import Undecodable
from linear_hash import LinearHash
from reliability_card import record
from test_encoder import run

SECONDS, MEGABYTES = 1.0, 300
MEASURED = """
import os, sys
from ganhash_cli.engine import decoding
decoding.attempt(lambda: decoding.square(os.fsencode(sys.argv[1]), 224))  # what all share is there
for file in sys.argv[1:]:
    child = os.fork()
    if not child:
        decoding.attempt(lambda: decoding.square(os.fsencode(file), 224))
        os._exit(0)
    _, status, used = os.wait4(child, 0)
    print(status, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus, written out."""
    place = tmp_path_factory.mktemp("corpus") / "images"
    corpus.write(place)
    return place


def test_every_file_comes_to_what_it_should(folder: Path) -> None:
    """I1, I3, I4, I5: cut, swollen, odd and misnamed files are images or refused, each as the corpus says."""
    attacks = corpus.attacks()
    files = [os.fsencode(folder / attack.name) for attack in attacks]
    wrong, refused = {}, 0
    for attack, result in zip(attacks, decoders.squares(files, 32), strict=True):
        reason = str(result) if isinstance(result, Undecodable) else corpus.DECODED
        refused += bool(reason)
        expected = r".*" if attack.reason is None else attack.reason or "^$"
        if not re.search(expected, reason) or "crashed" in reason or "within" in reason:
            wrong[attack.name] = reason
    assert wrong == {}
    assert len({attack.name for attack in attacks}) == len(attacks) >= 100
    record("I1 images", "odd, cut and hostile image files", files=len(attacks), refused=refused, unexpected=0)


def costs(plain: Path, files: Sequence[Path]) -> dict[str, tuple[float, float]]:
    """Return seconds of a processor and MB more than `plain` that each file takes, in a process without limits."""
    command = [sys.executable, "-c", MEASURED, os.fspath(plain), *map(os.fspath, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    figures = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    assert {status for status, _, _ in figures} == {0}
    named = zip(files, figures[1:], strict=True)
    return {file.name: (seconds, memory - figures[0][2]) for file, (_, seconds, memory) in named}


def test_bombs_cost_little_time_and_memory(folder: Path) -> None:
    """I3: no bomb takes more than a second of a processor and 300 MB."""
    cost = costs(folder / "one.png", [folder / attack.name for attack in corpus.bombs()])
    assert {name: spent for name, spent in cost.items() if spent[0] > SECONDS or spent[1] > MEGABYTES} == {}
    worst = max(seconds for seconds, _ in cost.values()), max(megabytes for _, megabytes in cost.values())
    record(
        "I3 bombs",
        "small files that declare much",
        files=len(cost),
        worst_s=round(worst[0], 2),
        worst_mb=round(worst[1]),
    )


def test_encoding_the_corpus_counts_every_file(folder: Path, tmp_path: Path) -> None:
    """I9, I10: found = encoded + skipped, each skipped one with its reason, and the others as if they were alone."""
    report = run(folder, tmp_path / "codes.h5", LinearHash())
    listed = images.collect(folder)
    assert report.found == report.encoded + len(report.skipped) == len(listed.entries) + len(listed.skipped)
    assert all(bad.reason for bad in report.skipped)
    alone = [entry for entry in listed.entries if isinstance(attempt(listed.file(entry)), np.ndarray)]
    assert report.encoded == len(alone)


def attempt(file: bytes) -> np.ndarray | Undecodable:
    return decoding.attempt(lambda: decoding.square(file, 12))


MUTATIONS = (60, 12_500)


def mutated(chance: np.random.Generator, content: bytes, places: Sequence[int] = ()) -> bytes:
    """Return a file with a few bytes or bits changed, or a piece doubled or taken out, anywhere or at `places`."""
    changed = bytearray(content)
    for _ in range(chance.integers(1, 5)):
        place = int(chance.choice(places) if places else chance.integers(len(changed)))
        at, kind = min(place, len(changed) - 1), chance.integers(4)
        if kind == 0:
            changed[at] ^= 1 << int(chance.integers(8))
        elif kind == 1:
            changed[at] = int(chance.choice([0, 1, 127, 128, 255]))
        elif kind == 2:
            del changed[at : at + int(chance.integers(1, 9))]
        else:
            changed[at:at] = changed[max(0, at - 8) : at]
        if not changed:
            break
    return bytes(changed)


@pytest.mark.parametrize(
    "count", [MUTATIONS[0], pytest.param(MUTATIONS[1], marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
@pytest.mark.parametrize("kind", [*corpus.FORMATS, "PPM"])
def test_mutations_are_images_or_refused(tmp_path: Path, kind: str, count: int) -> None:
    """I2: no mutated file makes a decoder crash, hang for 5 s or take 1 GB."""
    chance, whole = np.random.default_rng(7), corpus.saved(corpus.noise(24, 32), kind)
    crashes, refused, swollen = 0, 0, list[Path]()
    with Decoders(1) as one:
        for start in range(0, count, 500):
            files = []
            for number in range(start, min(start + 500, count)):
                file = tmp_path / f"{number % 500}"
                file.write_bytes(mutated(chance, whole))
                files.append(os.fsencode(file))
            for file, result in zip(files, one.squares(files, 32), strict=True):
                refused += isinstance(result, Undecodable)
                crashes += "crashed" in str(result) or "within" in str(result)
                if "takes more" in str(result):  # address space, that is: a length that a chunk claims, say
                    swollen.append(shutil.copy(os.fsdecode(file), tmp_path / f"swollen-{len(swollen)}"))
    assert crashes == 0
    plain = tmp_path / "whole"
    plain.write_bytes(whole)
    assert [spent for spent in costs(plain, swollen).values() if spent[0] > 5 or spent[1] > 1_000] == []
    assert refused
    record("I2 mutations", "images with a few bytes changed", **{f"{kind}_files": count, f"{kind}_crashes": crashes})


REGRESSIONS = sorted((Path(__file__).parent / "regressions").glob("image-*"))


@pytest.mark.parametrize("file", REGRESSIONS, ids=lambda file: file.name)
def test_what_once_went_wrong_does_not_again(file: Path, folder: Path) -> None:
    """I2: files that fuzzing found are refused, and take no more than any other."""
    assert isinstance(attempt(os.fsencode(file)), Undecodable)
    seconds, megabytes = costs(folder / "one.png", [file])[file.name]
    assert (seconds < SECONDS, megabytes < MEGABYTES) == (True, True)

"""I2: codes files with a few bytes changed are refused or hold what they held, and neither crash nor hang who reads."""

import os
import signal
from collections import Counter
from contextlib import chdir
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import forked
from ganhash_cli.engine import children, choice, codes, results, verification
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.images import collect
from ganhash_cli.engine.progress import finish
from ganhash_cli.engine.queries import Queries, hash_queries, require_match
from ganhash_cli.engine.runtime import open_runtime
from ganhash_cli.errors import CorruptError
from reliability_card import record
from serving import FIRST, work_in
from test_image_corpus import mutated

MEMORY, SECONDS = 8 << 30, 5  # of a processor, which others may use too; what only waits meets the limit of the test
CODES, SEEN = Path("codes.h5"), Path("seen")


def held() -> tuple[Any, ...]:
    """Return all that the codes file holds: its header, codes, names and other columns."""
    with codes.open_codes(CODES) as stored:
        columns = [(name, stored.column(name).tobytes()) for name in stored.columns]
        return stored.header, stored.codes.tobytes(), stored.paths(), columns


def answered(bundle: Bundle, asked: Queries) -> list[dict[str, Any]]:
    """Return what `query --check` answers."""
    with codes.open_codes(CODES) as stored:
        require_match(bundle, stored)
        stored.verify()
        index = finish(choice.open_index(stored, "auto", Path("cache"), queries=1, k=9, complete=False))
        return [each for answer in results.answer(stored, asked, 9, None, index=index) for each in answer.records()]


def verdict(bundle: Bundle, asked: Queries, truth: tuple[Any, ...]) -> str:
    """Say what `verify` and `query --check`, which must agree, make of the codes file."""
    wrong = finish(verification.verify(CODES)).wrong
    try:
        found = answered(bundle, asked)
    except CorruptError:
        return "refused" if wrong else "refused by query alone"
    if wrong:
        return "refused by verify alone"
    return "sound" if (held(), found) == truth else "silently wrong"


def read_mutated(folder: Path, count: int) -> None:
    """Note of each of so many mutations what becomes of it, or end by one."""
    os.chdir(folder)
    children.limit(MEMORY)
    whole = Path("whole.h5").read_bytes()
    CODES.write_bytes(whole)
    bundle = Bundle.open(Path("model"))
    asked = finish(hash_queries(open_runtime(bundle), collect(FIRST), bundle.side))
    truth = held(), answered(bundle, asked)
    with h5py.File("whole.h5") as file:
        lies, takes = file["codes"].id.get_offset(), file["codes"].id.get_storage_size()
    # Most of the file only fills a page; and nothing but a checksum of ours stands by the codes themselves.
    places = [at for at, byte in enumerate(whole) if byte], range(lies, lies + takes)
    with SEEN.open("w", buffering=1) as seen:
        for number in range(count):
            CODES.write_bytes(mutated(np.random.default_rng(number), whole, places[number % 2]))
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            found = verdict(bundle, asked, truth)
            signal.setitimer(signal.ITIMER_PROF, 0)
            print(found, file=seen)


@pytest.mark.parametrize("count", [100, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])])
def test_mutations_are_refused_or_change_nothing(tmp_path: Path, count: int) -> None:
    """I2: `verify` and `query --check` neither crash on a mutated codes file, nor hang, nor believe what is wrong."""
    with chdir(tmp_path):
        work_in(tmp_path)
    (tmp_path / CODES).rename(tmp_path / "whole.h5")
    forked.prepare()
    process = forked.CONTEXT.Process(target=read_mutated, args=(tmp_path, count))
    process.start()
    process.join()
    seen = (tmp_path / SEEN).read_text().splitlines()
    assert process.exitcode == 0, f"{children.ending(process.exitcode or 0)} on mutation {len(seen)}; SIGPROF is a hang"
    found = Counter(seen)
    assert found.keys() == {"refused", "sound"}
    record(
        "I2 codes",
        "codes files with a few bytes changed, read by `verify` and `query --check`",
        files=count,
        refused=found["refused"],
        crashes=0,
        hangs=0,
        silently_wrong=0,
    )

"""The approximate index against the exact one, and what of a kept index is believed."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from ganhash_cli.engine import choice, codes, ivf, ivf_file
from ganhash_cli.engine.bits import Codes, pack
from ganhash_cli.engine.codes_format import Header, Rows
from ganhash_cli.engine.index import ExactIndex
from ganhash_cli.engine.ivf import IvfIndex
from ganhash_cli.engine.progress import finish
from ganhash_cli.errors import CorruptError
from test_index import clustered

BITS = (1, 12, 48, 64, 100, 256, 1024)


def scattered(count: int, bits: int, seed: int = 0) -> Codes:
    """Return codes in 64 clusters, few of them equal."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(9).standard_normal((64, bits))
    return pack(centres[random.integers(0, 64, count)] + random.standard_normal((count, bits)))


def built(made: Codes, bits: int, probes: int | None = None) -> IvfIndex:
    index = finish(ivf.build(made, bits))
    return index if probes is None else IvfIndex(replace(index.lists, probes=min(probes, len(index.lists.centres))))


def distances(made: Codes, queries: Codes, ids: NDArray[np.int64]) -> NDArray[np.int32]:
    return np.bitwise_count(made[ids] ^ queries[:, None]).sum(axis=2).astype(np.int32)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("k", [1, 10, 400])
def test_where_all_lists_are_probed_the_search_is_exact(bits: int, k: int) -> None:
    made, queries = clustered(400, bits), clustered(9, bits, seed=1)
    found = built(made, bits, probes=400).search(queries, k)
    wanted = ExactIndex(made, bits).search(queries, k)
    assert np.array_equal(found[1], wanted[1])
    assert np.array_equal(found[0], wanted[0])
    assert [table.dtype for table in found] == [np.int32, np.int64]


@pytest.mark.parametrize("bits", [48, 100])
def test_distances_are_exact_and_equal_ones_come_by_id(bits: int) -> None:
    made, queries = scattered(5_000, bits), scattered(50, bits, seed=1)
    near, ids = built(made, bits, probes=1).search(queries, 20)
    assert np.array_equal(near, distances(made, queries, ids))
    keys = near.astype(np.int64) * len(made) + ids
    assert (np.diff(keys, axis=1) > 0).all()


def test_the_recall_is_that_of_other_queries_too() -> None:
    every = scattered(20_200, 64)
    made, queries = every[:20_000], every[20_000:]
    index = built(made, 64)
    exact = ExactIndex(made, 64).search(queries, 10)[0]
    share = (index.search(queries, 10)[0] <= exact[:, -1:]).mean()
    assert index.lists.probes < len(index.lists.centres)  # so that something can be missed
    assert index.recall == pytest.approx(share, abs=0.02)
    assert index.recall > 0.95


def test_fewer_probes_find_less() -> None:
    made, queries = scattered(20_000, 64), scattered(100, 64, seed=1)
    exact = ExactIndex(made, 64).search(queries, 10)[0]
    shares = [(built(made, 64, probes).search(queries, 10)[0] <= exact[:, -1:]).mean() for probes in (1, 99)]
    assert shares[0] < shares[1] == 1


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("bits", [12, 1024])
def test_few_codes_are_all_found(count: int, bits: int) -> None:
    made, queries = clustered(count, bits), clustered(3, bits, seed=1)
    index = built(made, bits)
    found, wanted = index.search(queries, 5), ExactIndex(made, bits).search(queries, 5)
    assert np.array_equal(found[1], wanted[1])
    assert (len(index), index.recall) == (count, 1.0)


def test_more_neighbours_than_the_probed_lists_hold_are_found_in_others() -> None:
    made = scattered(5_000, 64)
    ids = built(made, 64, probes=1).search(made[:1], 5_000)[1][0]
    assert sorted(ids.tolist()) == list(range(5_000))


def test_equal_codes_are_one_code_of_a_list() -> None:
    made = np.zeros((300, 8), np.uint8)
    index = built(made, 64)
    assert (len(index.lists.codes), index.recall) == (1, 1.0)
    assert index.search(made[:1], 300)[1][0].tolist() == list(range(300))
    assert index.ties(made[:1], np.array([0]), 1).tolist() == [300]


def test_ties_are_counted_in_all_lists_that_were_searched() -> None:
    made = scattered(5_000, 64)
    index = built(made, 64, probes=1)
    [near] = index.search(made[:1], 4_000)[0]
    shown = int((near == near[-1]).sum())
    assert index.ties(made[:1], near[-1:], 4_000)[0] >= shown > 1


def test_building_says_how_far_it_is() -> None:
    steps = []
    finish(ivf.build(clustered(500, 64), 64), steps.append)
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert (steps[-1].done, steps[-1].total) == (100, 100)


@pytest.fixture
def stored_at(tmp_path: Path) -> Path:
    """A codes file of 3,000 images that are nowhere."""
    path = tmp_path / "codes.h5"
    store(path, scattered(3_000, 64))
    return path


def store(path: Path, made: Codes) -> None:
    count = len(made)
    names = [b"%d.png" % number for number in range(count)]
    ones = np.ones(count, np.uint64)
    rows = Rows(made, names, ones, ones.astype(np.int64), ones.astype(np.uint8))
    codes.write(path, Header(64, "0" * 64, b"/nowhere", 32, "nothing"), rows)


def opened(path: Path, cache: Path | None) -> tuple[IvfIndex, int]:
    """Return the index of a codes file, and in how many steps it was built."""
    steps = []
    with codes.open_codes(path) as stored:
        return finish(ivf_file.open_or_build(stored, cache), steps.append), len(steps)


def kept(cache: Path) -> Path:
    [path] = cache.rglob("*.h5")
    return path


def test_an_index_is_built_once(stored_at: Path, tmp_path: Path) -> None:
    built_now, steps = opened(stored_at, tmp_path / "cache")
    again, no_steps = opened(stored_at, tmp_path / "cache")
    queries = scattered(20, 64, seed=1)
    assert (steps > 0, no_steps) == (True, 0)
    assert np.array_equal(built_now.search(queries, 10)[1], again.search(queries, 10)[1])
    assert (built_now.lists.probes, pytest.approx(built_now.recall, abs=1e-6)) == (again.lists.probes, again.recall)


def test_nothing_is_kept_beside_the_codes_nor_looked_for_there(stored_at: Path, tmp_path: Path) -> None:
    opened(stored_at, tmp_path / "cache")
    for name in (f"{stored_at.name}.ivf", kept(tmp_path / "cache").name):
        shutil.copy(kept(tmp_path / "cache"), stored_at.parent / name)
    assert opened(stored_at, tmp_path / "other")[1] > 0


def test_an_index_of_other_codes_is_built_anew_and_that_is_said(
    stored_at: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened(stored_at, tmp_path / "cache")
    store(stored_at, scattered(2_000, 64, seed=5))
    with caplog.at_level("INFO"):
        index, steps = opened(stored_at, tmp_path / "cache")
    assert (len(index), steps > 0, len(list((tmp_path / "cache").rglob("*.h5")))) == (2_000, True, 1)
    assert "is built anew: the codes have changed since" in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_cache_where_no_folder_can_be_made_is_no_failure(stored_at: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        opened(stored_at, Path("/proc/ganhash"))
    assert "the index is not kept" in caplog.text


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "attribute", "codes", "link", "shape"])
def test_a_kept_index_that_is_not_as_written_is_never_used(
    stored_at: Path, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    wanted, _ = opened(stored_at, tmp_path / "cache")
    path = kept(tmp_path / "cache")
    if damage in ("cut", "text", "empty"):
        path.write_bytes({"cut": path.read_bytes()[:-4096], "text": b"no index", "empty": b""}[damage])
    else:
        with h5py.File(path, "r+") as file:
            if damage == "attribute":
                file.attrs["probes"] = 2
            elif damage == "codes":
                file["centres"][0] ^= 255
            elif damage == "link":
                del file["rows"]
                file["rows"] = h5py.ExternalLink("elsewhere.h5", "rows")
            else:
                del file["digests"]
                file["digests"] = np.zeros((1, 32), np.uint8)
    with caplog.at_level("INFO"):
        index, steps = opened(stored_at, tmp_path / "cache")
    queries = scattered(20, 64, seed=1)
    assert (steps > 0, "is built anew" in caplog.text) == (True, True)
    assert np.array_equal(index.search(queries, 10)[1], wanted.search(queries, 10)[1])


@pytest.mark.parametrize("column", ["codes", "row_offsets", "rows"])
def test_a_damaged_list_is_found_when_it_is_read(stored_at: Path, tmp_path: Path, column: str) -> None:
    opened(stored_at, tmp_path / "cache")
    with h5py.File(kept(tmp_path / "cache"), "r+") as file:
        file[column][17] = file[column][17] ^ 1
    index, steps = opened(stored_at, tmp_path / "cache")
    with pytest.raises(CorruptError, match="checksum of its list"):
        index.search(scattered(200, 64, seed=1), 10)
    assert steps == 0


def test_an_index_of_another_user_is_not_used(stored_at: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(stored_at, tmp_path / "cache")
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    assert opened(stored_at, tmp_path / "cache")[1] > 0


def test_without_a_place_to_keep_it_the_index_works_and_that_is_said(
    stored_at: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with caplog.at_level("INFO"):
        index, _ = opened(stored_at, tmp_path / "cache")
    assert len(index.search(scattered(2, 64), 10)[1]) == 2
    assert "the index is not kept: cannot write" in caplog.text
    assert len(opened(stored_at, None)[0]) == 3_000


def test_two_processes_that_build_at_once_both_answer(stored_at: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from ganhash_cli.engine import codes, ivf_file\n"
        "from ganhash_cli.engine.progress import finish\n"
        "with codes.open_codes(Path(sys.argv[1])) as stored:\n"
        "    index = finish(ivf_file.open_or_build(stored, Path(sys.argv[2])))\n"
        "    print(index.search(stored.codes[:50], 10)[1].tolist())\n"
    )
    command = [sys.executable, "-c", program, stored_at, tmp_path / "cache"]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    answers = {child.communicate()[0] for child in children}
    assert ([child.returncode for child in children], len(answers)) == ([0, 0], 1)
    assert opened(stored_at, tmp_path / "cache")[1] == 0


@pytest.mark.parametrize(
    ("count", "width", "queries", "sooner"),
    [(36, 8, 1, "exact"), (10_000_000, 8, 1, "exact"), (100_000_000, 8, 1, "exact"), (10_000_000, 8, 10**6, "ivf")],
)
def test_the_choice_follows_what_was_measured(count: int, width: int, queries: int, sooner: str) -> None:
    exact, build, probe = choice.seconds(count, width, queries)
    assert ("ivf" if exact > 2 * (build + probe) else "exact") == sooner


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, ExactIndex),
        ({"wanted": "ivf"}, IvfIndex),
        ({"wanted": "ivf", "complete": True}, ExactIndex),
        ({"queries": 10**9}, ExactIndex),  # so few codes are compared sooner than any list is found
    ],
)
def test_so_few_codes_are_searched_exactly_unless_the_index_is_asked_for(
    stored_at: Path, changes: dict[str, object], kind: type
) -> None:
    asked = {"wanted": "auto", "cache": None, "queries": 1, "k": 10, "complete": False, **changes}
    with codes.open_codes(stored_at) as stored:
        assert type(finish(choice.open_index(stored, **asked))) is kind


def test_a_kept_index_is_used_where_building_one_would_not_pay(stored_at: Path, tmp_path: Path) -> None:
    enough = 3 * int(2 / choice.seconds(3_000, 8, 1)[0])
    asked = {"wanted": "auto", "cache": tmp_path / "cache", "queries": enough, "k": 10, "complete": False}
    with codes.open_codes(stored_at) as stored, pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "_BUILT", 1.0)
        patch.setattr(choice, "_PROBED", 0.0)
        assert type(finish(choice.open_index(stored, **asked))) is ExactIndex
        finish(ivf_file.open_or_build(stored, tmp_path / "cache"))
        assert type(finish(choice.open_index(stored, **asked))) is IvfIndex
        assert type(finish(choice.open_index(stored, **asked | {"k": 101}))) is ExactIndex
        assert type(finish(choice.open_index(stored, **asked | {"wanted": "exact"}))) is ExactIndex

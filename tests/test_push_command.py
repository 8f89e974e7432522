"""`ganhash push` and `ganhash query --index` from the outside: against a dictionary, and against PostgreSQL."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Barrier

import h5py
import numpy as np
import pytest

import forked
import postgres
from ganhash_cli.engine import codes, pusher, remote
from ganhash_cli.engine.codes import open_codes
from ganhash_cli.engine.codes_format import Header, Rows, seal
from ganhash_cli.engine.progress import finish
from ganhash_cli.engine.remote import Remote
from ganhash_cli.errors import InputError, Interrupted
from ganhash_plugins.indexes.pgvector import PgVector
from linear_hash import write_bundle
from memory_index import KEPT, Memory
from pictures import paint, paint_classes
from reliability_card import record
from stranger import install, with_memory
from test_encode_command import Printed, run

URL = "memory://here"


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> None:
    """A folder with a model, 36 images, their codes, a query and an index that is a dictionary."""
    with_memory(tmp_path, monkeypatch)
    paint_classes(Path("folder"))
    for number in range(6):  # so that several images share a code
        paint(Path(f"folder/red/again-{number}.png"), (200, 40, 40), seed=1)
    paint(Path("img.png"), (190, 50, 50), seed=7)
    assert run(capsys, "encode", "folder")[0] == 0


def push(printed: Printed, *arguments: str, to: str = URL) -> dict[str, int]:
    code, out, error = run(printed, "push", "--to", to, "--json", *arguments)
    assert code == 0, error
    record = json.loads(out)
    return {name: record[name] for name in ("added", "changed", "kept", "others")}


def hits(printed: Printed, *arguments: str) -> list[tuple[int, str, str, int]]:
    """Query and return rank, path, label and distance of every hit."""
    code, out, error = run(printed, "query", "--json", *arguments)
    assert code in (0, 10), error
    records = [json.loads(line) for line in out.splitlines()]
    return [(each["rank"], each["path"], each["label"], each["distance"]) for each in records]


def test_what_is_pushed_is_found_as_in_the_file(capsys: Printed) -> None:
    assert push(capsys) == {"added": 42, "changed": 0, "kept": 0, "others": 0}
    for options in (["-k", "5"], ["-k", "100"], ["--max-distance", "4"], ["--max-distance", "12", "-k", "40"]):
        for query in (["img.png"], ["folder/red/again-3.png", "img.png"]):
            assert hits(capsys, *query, *options, "--index", URL) == hits(capsys, *query, *options)


def test_what_is_said_counts_and_names_the_next_step(capsys: Printed) -> None:
    code, out, _ = run(capsys, "push", "--to", URL)
    assert (code, out.splitlines()[0]) == (0, f"ganhash at {URL}: 42 added, 0 changed, 0 kept")


def test_a_second_push_adds_nothing(capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    push(capsys)
    monkeypatch.setattr(Memory, "add", None)
    assert push(capsys) == {"added": 0, "changed": 0, "kept": 42, "others": 0}


def test_only_new_and_changed_images_are_pushed(capsys: Printed) -> None:
    push(capsys)
    paint(Path("folder/amber/0.png"), (200, 150, 0), seed=5)
    paint(Path("folder/blue/00.png"), (200, 150, 0), seed=6)
    Path("folder/green/00.png").unlink()
    run(capsys, "encode", "folder")
    assert push(capsys) == {"added": 1, "changed": 1, "kept": 40, "others": 1}
    assert "the index also holds 1 image not in codes.h5" in run(capsys, "push", "--to", URL)[2]
    assert push(capsys, "--replace") == {"added": 42, "changed": 0, "kept": 0, "others": 0}
    assert hits(capsys, "img.png", "--index", URL) == hits(capsys, "img.png")


def claim(path: Path, name: str) -> None:
    """Let a codes file say that a column has another checksum than it has."""
    with h5py.File(path, "r+") as file:
        file.attrs[f"sha256_{name}"] = np.bytes_(b"0" * 64)
        file.attrs["sha256"] = np.bytes_(seal({key: file.attrs[key] for key in file.attrs if key != "sha256"}))


def mislead(path: Path) -> None:
    """Let a codes file name an image outside its root."""
    with open_codes(path) as stored:
        header, zeros = replace(stored.header, class_names=()), np.zeros(1)
        rows = Rows(stored.codes[:1].copy(), [b"../a.png"], *map(zeros.astype, (np.uint64, np.int64, np.uint8)))
    codes.write(path, header, rows)


@pytest.mark.parametrize("harm", [partial(claim, name="codes"), partial(claim, name="labels"), mislead])
def test_damaged_codes_do_not_empty_the_index(harm: Callable[[Path], None], capsys: Printed) -> None:
    push(capsys)
    before = dict(KEPT[URL, "ganhash"]["images"])
    harm(Path("codes.h5"))
    assert run(capsys, "push", "--to", URL, "--replace")[0] == 6
    assert KEPT[URL, "ganhash"]["images"] == before


def test_a_changed_label_is_a_change(capsys: Printed) -> None:
    names = sorted(str(path) for path in Path("folder").rglob("*.png"))
    for label in ("one", "two"):
        Path("list.csv").write_text("\n".join(["path,label", *(f"{name},{label}" for name in names)]) + "\n")
        run(capsys, "encode", "list.csv", "-o", "list.h5", "--overwrite")
        counts = push(capsys, "list.h5")
    assert counts == {"added": 0, "changed": 42, "kept": 0, "others": 0}
    assert {hit[2] for hit in hits(capsys, "img.png", "--index", URL)} == {"two"}


def test_a_stopped_push_goes_on_where_it_was(capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pusher, "BATCH", 10)
    with remote.opened(URL) as opened:
        work = pusher.push(Path("codes.h5"), opened)
        next(work), next(work)
        with pytest.raises(Interrupted):
            work.throw(Interrupted(2))
    assert push(capsys) == {"added": 22, "changed": 0, "kept": 20, "others": 0}


def test_parts_pushed_by_several_machines_are_one_index(capsys: Printed) -> None:
    for number in (1, 2, 3):
        run(capsys, "encode", "folder", "--shard", f"{number}/3", "-o", f"part-{number}.h5")
        push(capsys, f"part-{number}.h5")
    assert push(capsys) == {"added": 0, "changed": 0, "kept": 42, "others": 0}


def test_a_part_is_not_told_to_remove_the_other_parts(capsys: Printed) -> None:
    for number in (1, 2):
        run(capsys, "encode", "folder", "--shard", f"{number}/2", "-o", f"part-{number}.h5")
        _, _, error = run(capsys, "push", f"part-{number}.h5", "--to", URL)
    assert ("the index also holds" in error, "--replace" in error) == (True, False)


def test_collections_have_names(capsys: Printed) -> None:
    push(capsys, "--name", "photos")
    assert [*KEPT] == [(URL, "photos")]
    code, _, error = run(capsys, "query", "img.png", "--index", URL)
    assert (code, f"there is no ganhash at {URL}" in error) == (4, True)
    assert hits(capsys, "img.png", "--index", URL, "--name", "photos") == hits(capsys, "img.png")


@pytest.mark.parametrize("path", [b"../secret.png", b"/etc/secret.png"])
def test_a_path_out_of_the_root_is_exit_6(path: bytes, capsys: Printed) -> None:
    push(capsys)
    there = KEPT[URL, "ganhash"]["images"]
    number, (code, _, labels, digest) = next(iter(there.items()))
    there[number] = (code, path, labels, digest)
    ended, _, error = run(capsys, "query", "img.png", "-k", "99", "--index", URL, "--html", "page.html")
    assert (ended, "outside its root" in error, Path("page.html").exists()) == (6, True, False), error


def test_codes_of_two_models_are_not_mixed(capsys: Printed) -> None:
    push(capsys)
    write_bundle(Path("other"), seed=1)
    run(capsys, "encode", "folder", "--model", "other", "-o", "other.h5")
    code, _, error = run(capsys, "push", "other.h5", "--to", URL)
    assert (code, "--replace" in error, len(KEPT[URL, "ganhash"]["images"])) == (5, True, 42)
    assert run(capsys, "query", "img.png", "--index", URL, "--model", "other")[0] == 5
    assert run(capsys, "push", "other.h5", "--to", URL, "--replace")[0] == 0
    assert run(capsys, "query", "img.png", "--index", URL, "--model", "other")[0] == 0


def test_codes_of_two_folders_are_not_mixed(capsys: Printed) -> None:
    push(capsys)
    shutil.copytree("folder", "elsewhere")
    run(capsys, "encode", "elsewhere", "-o", "elsewhere.h5")
    code, _, error = run(capsys, "push", "elsewhere.h5", "--to", URL)
    assert (code, "elsewhere" in error) == (2, True)


def test_a_damaged_file_is_not_pushed(capsys: Printed) -> None:
    content = bytearray(Path("codes.h5").read_bytes())
    with open_codes(Path("codes.h5")) as stored:
        at = content.index(stored.codes.tobytes())
    content[at] ^= 1
    Path("codes.h5").write_bytes(content)
    assert run(capsys, "push", "--to", URL)[0] == 6
    assert not KEPT


def test_an_approximate_search_shows_its_recall(capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    push(capsys)
    monkeypatch.setattr(Memory, "exact", False)
    monkeypatch.setattr(
        Memory, "search", lambda self, code, k, *, exact=False: self.sorted(code)[0 if exact else 30 :][:k]
    )
    _, _, error = run(capsys, "query", "img.png", "folder/blue/01.png", "--index", URL, "-k", "7")
    assert (
        f"by ganhash at {URL}, approximately: recall 0.000 of the nearest 7, against an exact search for 2 of 2"
        in error
    )
    monkeypatch.setattr(Memory, "search", lambda self, code, k, *, exact=False: self.sorted(code)[:k])
    assert "recall 1.000 of the nearest 7" in run(capsys, "query", "img.png", "--index", URL, "-k", "7")[2]


def test_equals_that_were_left_out_are_mentioned(capsys: Printed) -> None:
    push(capsys)
    _, _, error = run(capsys, "query", "folder/red/again-0.png", "--index", URL, "-k", "3")
    assert "is shared by more images than are shown" in error
    _, _, error = run(capsys, "query", "folder/red/again-0.png", "--index", URL, "-k", "42")
    assert "is shared by" not in error


def test_an_index_that_orders_no_equals_says_so(capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    push(capsys)
    monkeypatch.setattr(Memory, "ordered", False)
    assert "its own choice" in run(capsys, "query", "img.png", "--index", URL)[2]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["push", "--to", "nowhere"], 2, "nowhere is no URL"),
        (
            ["push", "--to", "redis://host"],
            2,
            "known are memory://, milvus://, milvus+tls://, postgres://, postgresql://",
        ),
        (["push", "missing.h5", "--to", URL], 4, "missing.h5 does not exist"),
        (["push", "--to", URL, "-I", "limt=3"], 2, "did you mean 'limit'"),
        (["push", "--to", URL, "-I", "limit"], 2, "-I limit: expected NAME=VALUE"),
        (["query", "img.png", "--index", "here"], 2, "--index 'here' is not known"),
        (["query", "img.png", "--index", URL, "--rerank"], 2, "--rerank needs a codes file"),
        (["query", "img.png", "--index", URL, "--check"], 2, "--check needs a codes file"),
        (["query", "missing.png", "--index", URL], 4, "missing.png"),
        (["plugins", "check", "index", "memory"], 2, "an index is checked at a --url"),
        (["plugins", "check", "backbone", "smallconv", "--url", URL], 2, "a backbone is none"),
    ],
)
def test_wrong_input_says_what_and_ends_with_its_code(
    arguments: list[str], code: int, said: str, capsys: Printed
) -> None:
    ended, _, error = run(capsys, *arguments)
    assert (ended, said in error) == (code, True), error


def test_two_indexes_of_one_scheme_are_both_named_until_one_is_chosen(
    capsys: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "another", "from memory_index import Memory as Plugin", "index", "zz")
    code, _, error = run(capsys, "push", "--to", URL)
    both = "memory:// is taken by index 'memory' of package stranger and by index 'zz' of package another"
    assert (code, both in error, "set GANHASH_PLUGINS" in error, KEPT) == (2, True, True, {}), error
    monkeypatch.setenv("GANHASH_PLUGINS", "another")
    assert push(capsys)["added"] == 42


def test_nothing_near_is_exit_10(capsys: Printed) -> None:
    push(capsys)
    paint(Path("far.png"), (0, 255, 90), seed=3)
    assert run(capsys, "query", "far.png", "--max-distance", "0", "--index", URL)[0] == 10


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (OSError("gone", "start it"), 4),
        (ValueError("odd"), 2),
        (ImportError("no client", "pip install it"), 9),
        (KeyError("bug"), 9),
    ],
)
def test_each_failure_is_somebodys_fault(
    raised: Exception, code: int, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(Memory, "add", fail)
    ended, _, error = run(capsys, "push", "--to", URL)
    assert (ended, URL in error) == (code, True), error


def test_an_index_of_another_format_is_not_touched(capsys: Printed) -> None:
    Memory(URL, "ganhash").create(12, {"format": "ganhash-index", "schema": "99"})
    code, _, error = run(capsys, "push", "--to", URL)
    assert (code, "it has the format ganhash-index 99" in error, "--replace" in error) == (6, True, True)


@pytest.mark.parametrize("facts", [{"schema": "99"}, {"schema": "1", "numeric": "float13"}, {}])
def test_an_index_whose_facts_nobody_can_read_is_made_anew(facts: dict[str, str], capsys: Printed) -> None:
    Memory(URL, "ganhash").create(8, {"format": "ganhash-index", **facts})
    assert push(capsys, "--replace") == {"added": 42, "changed": 0, "kept": 0, "others": 0}


@pytest.mark.parametrize("arguments", [[], ["--replace"]])
def test_an_index_of_somebody_elses_is_never_made_anew(arguments: list[str], capsys: Printed) -> None:
    Memory(URL, "ganhash").create(12, {"format": "other"})
    code, _, error = run(capsys, "push", "--to", URL, *arguments)
    assert (code, "its format is 'other'" in error, "--replace" in error) == (6, True, False)
    assert KEPT[URL, "ganhash"]["facts"] == {"format": "other"}


def test_without_the_client_the_error_names_the_line_that_installs_it(
    capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    code, _, error = run(capsys, "push", "--to", "postgresql://me:sesame@127.0.0.1:1/db")
    assert (code, "pip install 'ganhash[pgvector]'" in error, "sesame" in error) == (9, True, False)


def test_the_contract_is_checked_at_a_url(capsys: Printed) -> None:
    code, out, _ = run(capsys, "plugins", "check", "index", "memory", "--url", URL, "-I", "limit=9")
    assert (code, "failed" in out) == (0, False)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres.serve() as url:
        yield url


@pytest.fixture
def database(server: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options that lead to a collection of the test's own."""
    monkeypatch.setenv("PGPASSWORD", postgres.PASSWORD)
    return [server, "--name", re.sub(r"\W", "_", request.node.name)[-40:]]


@pytest.mark.parametrize("method", ["auto", "hnsw", "ivfflat"])
def test_postgresql_answers_as_the_file_does(method: str, database: list[str], capsys: Printed) -> None:
    assert push(capsys, *database[1:], "-I", f"method={method}", to=database[0])["added"] == 42
    assert push(capsys, *database[1:], "-I", f"method={method}", to=database[0])["kept"] == 42
    for options in (["-k", "5"], ["-k", "100"], ["--max-distance", "4", "-k", "100"]):
        for query in ("img.png", "folder/red/again-3.png"):
            exact = ["--index", *database, "-I", "method=exact"]
            assert hits(capsys, query, *options, *exact) == hits(capsys, query, *options)
    said = run(capsys, "query", "img.png", "--index", *database)[2]
    assert ("approximately: recall " in said) == (method != "auto")


@pytest.mark.parametrize("method", ["auto", "ivfflat"])
def test_the_first_pushes_of_parts_may_begin_at_once(
    method: str, database: list[str], capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    with psycopg.connect(database[0], autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE parts_{method}")
    url = database[0].replace("/postgres", f"/parts_{method}")
    parts = [Path(f"part-{number}.h5") for number in (1, 2, 3, 4)]
    for number, part in enumerate(parts, start=1):
        run(capsys, "encode", "folder", "--shard", f"{number}/4", "-o", str(part))
    at_once, create, finishing = Barrier(4, timeout=20), Remote.create, PgVector.finish

    def bring(part: Path, opened: Remote) -> int:
        return finish(pusher.push(part, opened)).added

    with ExitStack() as stack, monkeypatch.context() as patch, ThreadPoolExecutor(4) as pool:
        remotes = [stack.enter_context(remote.opened(url, given={"method": method})) for _ in parts]
        patch.setattr(Remote, "create", lambda self, header: (at_once.wait(), create(self, header)))
        patch.setattr(PgVector, "finish", lambda self: (at_once.wait(), finishing(self)))
        assert sum(pool.map(bring, parts, remotes)) == 42
    assert push(capsys, to=url) == {"added": 0, "changed": 0, "kept": 42, "others": 0}


def test_the_later_of_two_first_pushes_is_refused_where_it_is_of_another_model(
    capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle(Path("other"), seed=1)
    run(capsys, "encode", "folder", "--model", "other", "-o", "other.h5")
    create = Remote.create

    def late(self: Remote, header: Header) -> None:
        monkeypatch.setattr(Remote, "create", create)
        push(capsys)
        create(self, header)

    monkeypatch.setattr(Remote, "create", late)
    assert run(capsys, "push", "other.h5", "--to", URL)[0] == 5
    assert len(KEPT[URL, "ganhash"]["images"]) == 42


def test_two_models_are_not_mixed_in_postgresql(database: list[str], capsys: Printed) -> None:
    push(capsys, *database[1:], to=database[0])
    write_bundle(Path("other"), seed=1)
    run(capsys, "encode", "folder", "--model", "other", "-o", "other.h5")
    assert run(capsys, "push", "other.h5", "--to", *database)[0] == 5
    assert run(capsys, "push", "other.h5", "--to", *database, "--replace")[0] == 0


def test_a_table_of_somebody_elses_is_left_alone(database: list[str], capsys: Printed) -> None:
    import psycopg

    url, _, name = database
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE TABLE "{name}" (mine text)')
        for arguments in ([], ["--replace"]):
            code, _, error = run(capsys, "push", "--to", *database, *arguments)
            assert (code, "was not made by ganhash" in error) == (2, True)
        assert connection.execute(f'SELECT count(*) FROM "{name}"').fetchone() == (0,)


def test_a_collection_may_be_called_anything(server: str, capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", postgres.PASSWORD)
    named = ["--name", '50% of %s, "{table}"']
    for method in ("auto", "ivfflat"):
        push(capsys, *named, "-I", f"method={method}", to=server)
    for options in (["-k", "5"], ["--max-distance", "4"]):
        exact = [*options, "--index", server, *named, "-I", "method=exact"]
        assert hits(capsys, "img.png", *exact) == hits(capsys, "img.png", *options)
    assert run(capsys, "query", "img.png", "--index", server, *named)[0] == 0


def test_a_column_that_others_added_stays_and_disturbs_no_push(database: list[str], capsys: Printed) -> None:
    import psycopg

    push(capsys, *database[1:], to=database[0])
    with psycopg.connect(database[0], autocommit=True) as connection:
        connection.execute(f'ALTER TABLE "{database[2]}" ADD COLUMN seen int NOT NULL DEFAULT 7')
    paint(Path("folder/blue/00.png"), (200, 150, 0), seed=6)
    paint(Path("folder/blue/new.png"), (200, 150, 0), seed=6)
    run(capsys, "encode", "folder")
    assert push(capsys, *database[1:], to=database[0]) == {"added": 1, "changed": 1, "kept": 41, "others": 0}
    with psycopg.connect(database[0]) as connection:
        assert connection.execute(f'SELECT sum(seen) FROM "{database[2]}"').fetchone() == (7 * 43,)


def everything_written(place: Path) -> bytes:
    return b"".join(path.read_bytes() for path in place.rglob("*") if path.is_file())


@pytest.mark.parametrize("password", [postgres.PASSWORD, "wrong:se@same/?%"])
@pytest.mark.parametrize("verbose", [[], ["-vv"]])
def test_a_password_in_the_url_works_and_is_shown_nowhere(
    password: str, verbose: list[str], server: str, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    url = server.replace("@", f":{password}@")
    for verb in (["push", "--to", url], ["query", "img.png", "--index", url]):
        code, out, error = run(capsys, *verb, "--name", f"verbose{len(verbose)}", *verbose)
        assert (code == 0) == (password == postgres.PASSWORD), error
        assert "same/" not in out + error
        assert code or "tester:***@" in out + error
    assert b"same/" not in everything_written(Path())


def test_a_server_that_is_not_there_is_exit_4(capsys: Printed) -> None:
    pytest.importorskip("psycopg")
    code, _, error = run(capsys, "push", "--to", "postgresql://me:sesame@127.0.0.1:1/db")
    assert (code, "refused" in error, "sesame" in error) == (4, True, False)


def test_a_connection_that_breaks_is_exit_4_and_the_push_goes_on(
    database: list[str], capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    monkeypatch.setattr(pusher, "BATCH", 10)
    with psycopg.connect(database[0], autocommit=True) as other, remote.opened(database[0], database[2]) as opened:
        work = pusher.push(Path("codes.h5"), opened)
        next(work)
        others = "pid <> pg_backend_pid() AND datname = current_database()"
        other.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        with pytest.raises(InputError, match=r"terminat|closed"):
            finish(work)
    assert push(capsys, *database[1:], to=database[0]) == {"added": 32, "changed": 0, "kept": 10, "others": 0}


def test_a_push_that_is_killed_goes_on(database: list[str], capsys: Printed) -> None:
    program = """
import os, signal, sys
from ganhash_cli import app
from ganhash_cli.engine import pusher

def dying(*arguments):
    calls.append(1)
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)

calls, real = [], pusher._push_rows
pusher.BATCH, pusher._push_rows = 10, dying
app.main(sys.argv[1:])
"""
    done = subprocess.run([sys.executable, "-c", program, "push", "--to", *database], env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL
    assert push(capsys, *database[1:], to=database[0]) == {"added": 12, "changed": 0, "kept": 30, "others": 0}
    assert hits(capsys, "img.png", "--index", *database) == hits(capsys, "img.png")


def test_a_database_that_is_not_there_is_exit_4(database: list[str], capsys: Printed) -> None:
    url = database[0].replace("/postgres", "/nowhere")
    for verb in (["push", "--to", url], ["query", "img.png", "--index", url]):
        code, _, error = run(capsys, *verb)
        assert (code, 'database "nowhere" does not exist' in error) == (4, True), error


def test_a_table_of_another_schema_is_exit_6_and_stays(database: list[str], capsys: Printed) -> None:
    import psycopg

    push(capsys, *database[1:], to=database[0])
    with psycopg.connect(database[0], autocommit=True) as connection:
        facts = json.dumps({"format": "ganhash-index", "schema": "99"})
        connection.execute(f"COMMENT ON TABLE \"{database[2]}\" IS '{facts}'")
        for verb in (["push", "--to"], ["query", "img.png", "--index"]):
            code, _, error = run(capsys, *verb, *database)
            assert (code, "it has the format ganhash-index 99" in error) == (6, True), error
        assert connection.execute(f'SELECT count(*) FROM "{database[2]}"').fetchone() == (42,)


def test_codes_of_other_bits_are_exit_5(database: list[str], capsys: Printed) -> None:
    push(capsys, *database[1:], to=database[0])
    with open_codes(Path("codes.h5")) as stored:
        header = replace(stored.header, bits=8, class_names=())
        zeros = np.zeros(1)
        columns = map(zeros.astype, (np.uint64, np.int64, np.uint8))
        codes.write(Path("eight.h5"), header, Rows(np.zeros((1, 4), np.uint8), [b"a.png"], *columns))
    code, _, error = run(capsys, "push", "eight.h5", "--to", *database)
    assert (code, "--replace" in error) == (5, True), error


def test_the_example_pushes_asks_and_compares(database: list[str]) -> None:
    example = Path(__file__).parents[1] / "examples/scale/compare.sh"
    command = Path("bin/ganhash")
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ganhash_cli "$@"\n')
    command.chmod(0o755)
    environment = {**os.environ, "PATH": f"{command.parent.resolve()}:{os.environ['PATH']}"}
    arguments = ["sh", str(example), "codes.h5", "folder/green", database[0]]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert last == "120 neighbours: the distances of the index are those of the codes file"


def push_and_kill(rows: int, kills: int, database: list[str]) -> None:
    """Push codes of random images, killed so often at random moments, then to the end; compare every row there."""
    import psycopg

    random = np.random.default_rng(0)
    with open_codes(Path("codes.h5")) as stored:
        header = replace(stored.header, class_names=())
    zeros = np.zeros(rows)
    made = random.integers(0, 256, (rows, 4), np.uint8)
    made[:, 1] &= 0xF0
    made[:, 2:] = 0
    names = [b"%06d.png" % row for row in range(rows)]
    codes.write(Path("many.h5"), header, Rows(made, names, *map(zeros.astype, (np.uint64, np.int64, np.uint8))))
    command = ["push", str(Path("many.h5").resolve()), "--to", *database]
    here, deaths = Path("pushed"), 0
    assert forked.run(here, ["--version"]) == 0  # so that the server stands before the first kill
    while deaths < kills:
        process = forked.start(here, command, None, 256)
        process.join(random.uniform(0.1, 0.3 + rows / 40_000))
        process.kill()
        process.join()
        deaths += process.exitcode == -signal.SIGKILL
        assert process.exitcode in (0, -signal.SIGKILL), forked.said(here)
    assert forked.run(here, command) == 0, forked.said(here)
    with psycopg.connect(database[0]) as connection:
        found = connection.execute(f'SELECT path, code::text FROM "{database[2]}" ORDER BY path').fetchall()
    texts = ["".join(map(str, row)) for row in np.unpackbits(made, axis=1)[:, : header.bits]]
    assert [(bytes(path), text) for path, text in found] == list(zip(names, texts, strict=True))


@pytest.mark.parametrize(("kills", "rows"), [(3, 4_000), pytest.param(20, 60_000, marks=pytest.mark.slow)])
def test_kills_at_random_moments_end_with_exactly_the_right_rows(kills: int, rows: int, database: list[str]) -> None:
    """R1: SIGKILL to `push`, and the same command again."""
    push_and_kill(rows, kills, database)
    if kills > 3:
        record("R1 push", "SIGKILL at random moments of `push`, then to its end", kills=kills, rows=rows, wrong_rows=0)

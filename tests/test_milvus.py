"""Milvus keeps the contract of indexes and answers as the codes file does; a search of it waits, so this is slow."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import milvus_server
from ganhash_cli import app
from ganhash_cli.plugin import conformance
from ganhash_plugins.indexes.milvus import Milvus, _connection
from linear_hash import write_bundle
from pictures import paint, paint_classes


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("milvus://host", {"uri": "http://host:19530"}),
        ("milvus+tls://[::1]:443/photos", {"uri": "https://[::1]:443", "db_name": "photos"}),
        ("milvus://me:a%40b@host:1", {"uri": "http://host:1", "user": "me", "password": "a@b"}),
        ("milvus://host:1?token=me%3Asesame", {"uri": "http://host:1", "token": "me:sesame"}),
    ],
)
def test_a_url_is_read_as_the_client_wants_it(url: str, wanted: dict[str, str]) -> None:
    assert _connection(url) == wanted


@pytest.mark.parametrize("options", [{"method": "hnsw"}, {"nprobe": 0}, {"nlist": 4, "nprobe": 5}])
def test_options_out_of_their_limits_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"method 'hnsw'|nprobe="):
        Milvus("milvus://127.0.0.1:1", "photos", **options)


def test_a_name_that_milvus_would_refuse_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="cannot be called 'my photos'"):
        Milvus("milvus://127.0.0.1:1", "my photos")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with milvus_server.serve() as url:
        yield url


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "ivf_flat"])
@pytest.mark.parametrize("check", conformance.checks("index"), ids=str)
def test_milvus_keeps_the_contract(check: conformance.Check, method: str, server: str) -> None:
    check(Milvus, url=server, method=method)


@pytest.mark.slow
def test_what_is_pushed_is_found_as_in_the_file(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> list[dict[str, object]]:
        with pytest.raises(SystemExit) as ended:
            app.main([*arguments, "--json"])
        out, error = capsys.readouterr()
        assert not ended.value.code, error
        return [json.loads(line) for line in out.splitlines()]

    monkeypatch.chdir(tmp_path)
    write_bundle(Path("model"))
    paint_classes(Path("folder"))
    paint(Path("img.png"), (190, 50, 50), seed=7)
    run("encode", "folder")
    assert [run("push", "--to", server)[0]["added"] for _ in range(2)] == [36, 0]
    for options in (["-k", "5"], ["-k", "100"], ["--max-distance", "5", "-k", "100"]):
        here, there = run("query", "img.png", *options), run("query", "img.png", *options, "--index", server)
        assert [each["distance"] for each in there] == [each["distance"] for each in here]
        if "100" in options:  # nothing is cut off among equals
            assert [each["path"] for each in there] == [each["path"] for each in here]

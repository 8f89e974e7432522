"""`ganhash export` from the outside: its lines hold what codes.h5 holds, and the page shows what creates the index."""

import base64
import json
import os
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganhash_cli.engine import codes, feed
from ganhash_cli.engine.pusher import image_id
from linear_hash import BITS, write_bundle
from pictures import paint_classes
from test_encode_command import Printed, run

ROOT = Path(__file__).parents[1]
ENGINES = ["opensearch", "elasticsearch", "vespa"]


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> None:
    """A folder with a model and the codes of 13 images, one without a label and with a name that is not UTF-8."""
    monkeypatch.chdir(tmp_path)
    write_bundle(Path("model"))
    paint_classes(Path("folder"), each=4)
    odd = Path("folder") / os.fsdecode(b"\xff.png")
    odd.write_bytes(Path("folder/red/00.png").read_bytes())
    assert run(capsys, "encode", "folder")[0] == 0


def images(engine: str, name: str = "ganhash") -> list[tuple[int, list[int], bytes, list[str]]]:
    """Parse the file: id, code, path and labels of each image."""
    records: list[dict[str, Any]] = [json.loads(line) for line in Path("codes.ndjson").read_bytes().splitlines()]
    if engine == "vespa":
        assert all(set(each) == {"put", "fields"} for each in records)
        before = f"id:{name}:{name}::"
        assert all(each["put"].startswith(before) for each in records)
        pairs = [(each["put"].removeprefix(before), each["fields"]) for each in records]
    else:
        assert all(each == {"index": {"_index": name, "_id": each["index"]["_id"]}} for each in records[::2])
        pairs = [(each["index"]["_id"], fields) for each, fields in zip(records[::2], records[1::2], strict=True)]
    return [(int(number), each["code"], path_in(each), each["labels"]) for number, each in pairs]


def in_the_file() -> list[tuple[int, list[int], bytes, list[str]]]:
    with codes.open_codes(Path("codes.h5")) as stored:
        narrow = stored.codes[:, : (BITS + 7) // 8]
        return [
            (image_id(stored.path_of(row)), narrow[row].astype(np.int8).tolist(), stored.path_of(row), [*labels])
            for row, labels in enumerate(stored.labels_between(0, len(stored)))
        ]


def path_in(fields: dict[str, Any]) -> bytes:
    return base64.b64decode(fields["path_b64"]) if "path_b64" in fields else fields["path"].encode()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("batch", [5, 4096])
def test_the_lines_hold_what_the_file_holds(
    engine: str, batch: int, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "BATCH", batch)
    code, out, error = run(capsys, "export", "--for", engine, "--json")
    assert code == 0, error
    assert json.loads(out)["images"] == 13
    assert images(engine) == in_the_file()


def test_several_labels_of_an_image_are_exported(capsys: Printed) -> None:
    names = [path.relative_to("folder") for path in sorted(Path("folder").rglob("0*.png"))]
    rows = [f"{name},{name.parts[0]},{'a dög' if row % 3 else ''}" for row, name in enumerate(names)]
    Path("folder/list.csv").write_text("\n".join(["path,label,label", *rows]) + "\n")
    assert run(capsys, "encode", "folder/list.csv", "--overwrite")[0] == 0
    assert run(capsys, "export", "--for", "opensearch")[0] == 0
    assert images("opensearch") == in_the_file()
    assert {len(labels) for _, _, _, labels in images("opensearch")} == {1, 2}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_code_fills_the_dimension_that_the_schema_declares(engine: str, capsys: Printed) -> None:
    assert run(capsys, "export", "--for", engine, "--name", "photos")[0] == 0
    declared = run(capsys, "export", "--for", engine, "--name", "photos", "--schema")[1]
    width = {len(code) for _, code, _, _ in images(engine, "photos")}.pop()
    if engine == "vespa":
        assert declared.startswith("schema photos {\n  document photos {")
        assert declared.count(f"tensor<int8>(x[{width}])") == 2
    else:
        field = json.loads(declared)["mappings"]["properties"]["code"]
        assert field["dimension" if engine == "opensearch" else "dims"] == 8 * width


@pytest.mark.parametrize("engine", ENGINES)
def test_the_page_shows_the_schema(engine: str) -> None:
    page = (ROOT / "docs/scale.md").read_text()
    assert textwrap.indent(feed.schema(engine, 64, "ganhash"), "    ", lambda line: True) in page
    assert "neither tested against a running engine" in page


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--for", "solr"], 2, "'solr' is not one of 'opensearch', 'elasticsearch', 'vespa'"),
        (["missing.h5", "--for", "vespa"], 4, "missing.h5 does not exist"),
        (["model/bundle.json", "--for", "vespa"], 4, "is no codes file"),
        (["--for", "vespa", "-o", "codes.h5"], 2, "for the file of JSON lines"),
        (["--for", "vespa", "--name", "My Photos"], 2, "--name 'My Photos'"),
        ([], 2, "--for"),
    ],
)
def test_wrong_input_says_what_and_writes_nothing(arguments: list[str], code: int, said: str, capsys: Printed) -> None:
    ended, _, error = run(capsys, "export", *arguments)
    assert (ended, said in error) == (code, True), error
    assert not Path("codes.ndjson").exists()
    codes.verify(Path("codes.h5"))


def test_a_damaged_file_is_not_exported(capsys: Printed) -> None:
    content = bytearray(Path("codes.h5").read_bytes())
    with codes.open_codes(Path("codes.h5")) as stored:
        at = content.index(stored.codes.tobytes())
    content[at] ^= 1
    Path("codes.h5").write_bytes(content)
    assert run(capsys, "export", "--for", "vespa")[0] == 6
    assert not Path("codes.ndjson").exists()

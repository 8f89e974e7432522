"""The named splits: sizes, what may overlap, and that every machine gets the same lists."""

import csv
import json
from pathlib import Path

import pytest

from ganhash_cli.engine import files, protocols
from ganhash_cli.errors import InputError, UsageError


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of 30 and 6 images, and protocols that ask for 4 queries and 5 training images of each."""
    for name, value in {"CLASSES": 2, "IN_TRAIN": 30, "IN_TEST": 6, "QUERIES": 4, "TRAINING": 5}.items():
        monkeypatch.setattr(protocols, name, value)
    for part, each in (("train", 30), ("test", 6)):
        for label in ("cat", "dog"):
            (tmp_path / part / label).mkdir(parents=True)
            for number in range(each):
                (tmp_path / part / label / f"{number:04}.jpg").write_bytes(b"")
    return tmp_path


def listed(folder: Path, name: str, part: str) -> dict[str, str]:
    with (folder / f"{name}-{part}.csv").open(newline="") as stream:
        return {row["path"]: row["label"] for row in csv.DictReader(stream)}


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("cifar10-p1", (8, 10, 54)), ("cifar10-p1prime", (8, 10, 64)), ("cifar10-p2", (12, 60, 60))],
)
def test_the_parts_have_the_sizes_of_the_protocol(small: Path, name: str, sizes: tuple[int, int, int]):
    protocols.write(name, small)
    assert tuple(len(listed(small, name, part)) for part in ("query", "train", "database")) == sizes


@pytest.mark.parametrize("name", protocols.PROTOCOLS)
def test_no_query_stands_in_another_part(small: Path, name: str):
    protocols.write(name, small)
    queries = listed(small, name, "query").keys()
    assert not queries & (listed(small, name, "train").keys() | listed(small, name, "database").keys())


@pytest.mark.parametrize(("name", "inside"), [("cifar10-p1", False), ("cifar10-p1prime", True), ("cifar10-p2", True)])
def test_training_images_stand_in_the_database_where_the_protocol_says_so(small: Path, name: str, inside: bool):
    protocols.write(name, small)
    assert (listed(small, name, "train").keys() <= listed(small, name, "database").keys()) is inside


def test_every_class_gives_equally_many_queries_and_training_images(small: Path):
    protocols.write("cifar10-p1", small)
    for part, each in (("query", 4), ("train", 5)):
        labels = list(listed(small, "cifar10-p1", part).values())
        assert (labels.count("cat"), labels.count("dog")) == (each, each)


def test_the_lists_depend_on_nothing_but_names(small: Path):
    digests = protocols.write("cifar10-p1", small)
    assert digests["query"] == "b86bdbe01eab97fe712ff12c1f6610cda005f5e73b092ea0ae7344bc7b5bd57d"
    assert protocols.write("cifar10-p1", small) == digests


def test_the_digests_stand_beside_the_lists(small: Path):
    digests = protocols.write("cifar10-p2", small)
    record = json.loads((small / "cifar10-p2.json").read_text())
    assert record["sha256"] == digests == {p: files.sha256(small / f"cifar10-p2-{p}.csv") for p in protocols.PARTS}


def test_an_unknown_protocol_is_refused_with_those_there_are(small: Path):
    with pytest.raises(UsageError, match="cifar10-p9") as error:
        protocols.write("cifar10-p9", small)
    assert "cifar10-p1prime" in error.value.hint


def test_an_incomplete_data_set_is_refused(small: Path):
    (small / "train" / "cat" / "0003.jpg").unlink()
    with pytest.raises(InputError, match="no unpacked CIFAR-10: found 2 classes and 71 images"):
        protocols.write("cifar10-p1", small)

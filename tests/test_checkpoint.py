"""Checkpoints come back whole, or the one before them does."""

import hashlib
from pathlib import Path

import pytest
import torch

from ganhash_cli.engine import checkpoint
from ganhash_cli.errors import CorruptError


def flip_a_bit(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_saved_state_comes_back(tmp_path: Path) -> None:
    state = {"weights": {"a": torch.arange(3.0)}, "seconds": 1.5, "name": "tiny"}
    checkpoint.save(tmp_path, 7, state)
    found = checkpoint.load_latest(tmp_path)
    assert found is not None
    step, loaded = found
    assert (step, loaded["seconds"], loaded["name"]) == (7, 1.5, "tiny")
    assert torch.equal(loaded["weights"]["a"], torch.arange(3.0))


def test_no_folder_holds_no_checkpoint(tmp_path: Path) -> None:
    assert checkpoint.load_latest(tmp_path / "absent") is None


def test_only_the_last_two_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 10):
        checkpoint.save(tmp_path, step, {"step": step})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002.ckpt", "step-00000010.ckpt"]


@pytest.mark.parametrize("at", [0, 31, 32, 100, -1])
def test_a_flipped_bit_falls_back_to_the_checkpoint_before(tmp_path: Path, at: int) -> None:
    checkpoint.save(tmp_path, 1, {"step": 1})
    checkpoint.save(tmp_path, 2, {"step": 2})
    flip_a_bit(tmp_path / "step-00000002.ckpt", at)
    assert checkpoint.load_latest(tmp_path) == (1, {"step": 1})


@pytest.mark.parametrize("length", [0, 10, 32, 200])
def test_a_truncated_file_falls_back_to_the_checkpoint_before(tmp_path: Path, length: int) -> None:
    checkpoint.save(tmp_path, 1, {"step": 1})
    checkpoint.save(tmp_path, 2, {"step": 2})
    newest = tmp_path / "step-00000002.ckpt"
    newest.write_bytes(newest.read_bytes()[:length])
    assert checkpoint.load_latest(tmp_path) == (1, {"step": 1})


def test_all_damaged_is_an_error_that_names_them_and_removes_none(tmp_path: Path) -> None:
    for step in (1, 2):
        checkpoint.save(tmp_path, step, {"step": step})
        flip_a_bit(tmp_path / f"step-{step:08}.ckpt", 40)
    with pytest.raises(CorruptError, match=r"step-00000002\.ckpt and .*step-00000001\.ckpt") as caught:
        checkpoint.load_latest(tmp_path)
    assert str(tmp_path) in caught.value.hint
    assert len(list(tmp_path.iterdir())) == 2


def test_a_damaged_one_is_told_of_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for step in (1, 2):
        checkpoint.save(tmp_path, step, {"step": step})
    flip_a_bit(tmp_path / "step-00000002.ckpt", 40)
    checkpoint.load_latest(tmp_path)
    (line,) = [record.getMessage() for record in caplog.records]
    file = tmp_path / "step-00000002.ckpt"
    assert line == f"{file}: the checksum is wrong, the checkpoint is damaged; going on from step 1"


def test_whole_ones_are_not_worth_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint.save(tmp_path, 1, {"step": 1})
    checkpoint.load_latest(tmp_path)
    assert caplog.records == []


def test_a_damaged_one_does_not_take_the_place_of_a_whole_one(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, step, {"step": step})
    flip_a_bit(tmp_path / "step-00000003.ckpt", 40)
    checkpoint.load_latest(tmp_path)
    checkpoint.save(tmp_path, 4, {"step": 4})
    flip_a_bit(tmp_path / "step-00000004.ckpt", 40)
    assert checkpoint.load_latest(tmp_path) == (2, {"step": 2})


def test_a_payload_that_could_run_code_is_not_loaded(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, {"path": tmp_path})
    with pytest.raises(CorruptError, match=r"step-00000001\.ckpt holds more .* refused as unsafe$") as caught:
        checkpoint.load_latest(tmp_path)
    assert str(caught.value.hint).startswith("to begin anew, remove ")


def test_of_several_processes_only_the_first_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint.ranks, "first", lambda: False)
    checkpoint.save(tmp_path, 1, {"step": 1})
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_table_is_no_state(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, [1, 2])  # type: ignore[arg-type]  # no state, which is the point
    with pytest.raises(CorruptError, match=r"step-00000001\.ckpt is no checkpoint: it holds no table") as caught:
        checkpoint.load_latest(tmp_path)
    assert str(caught.value.hint).startswith("to begin anew, remove ")


@pytest.mark.parametrize(("payload", "what"), [(b"no archive", "unsafe$"), (b"PK\3\4 none", "is no checkpoint: .+")])
def test_a_whole_file_that_torch_did_not_write_is_no_checkpoint(tmp_path: Path, payload: bytes, what: str) -> None:
    file = tmp_path / "step-00000001.ckpt"
    file.write_bytes(hashlib.sha256(payload).digest() + payload)
    with pytest.raises(CorruptError, match=rf"step-00000001\.ckpt .*{what}") as caught:
        checkpoint.load_latest(tmp_path)
    assert str(caught.value.hint).startswith("to begin anew, remove ")


def test_out_of_memory_is_not_taken_for_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    checkpoint.save(tmp_path, 1, {"step": 1})
    monkeypatch.setattr(torch, "load", full)
    with pytest.raises(MemoryError):
        checkpoint.load_latest(tmp_path)

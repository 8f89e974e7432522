"""What became of mutants is counted by module."""

import json
from pathlib import Path

from mutation_score import scores, share, tried


def test_mutants_are_counted_by_how_their_tests_ended(tmp_path: Path) -> None:
    ends = {"a": 1, "b": 1, "c": 3, "d": 0, "e": 33, "f": -24, "g": None}
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "files.py.meta").write_text(json.dumps({"exit_code_by_key": ends}))
    found = scores(tmp_path)
    assert found == {"files": {"killed": 3, "survived": 1, "untested": 1, "not_tried": 1, "late": 1}}
    assert (tried(found["files"]), share(found["files"])) == (5, 3 / 5)

"""`finish` drives work to its end and keeps nothing of it back."""

import pytest

from ganhash_cli.engine.progress import Progress, Work, finish


def counting(steps: int) -> Work[str]:
    for step in range(1, steps + 1):
        yield Progress("counting", step, steps)
    return "counted"


def test_the_result_is_returned() -> None:
    assert finish(counting(3)) == "counted"


def test_every_step_is_seen_in_order() -> None:
    seen: list[float] = []
    finish(counting(3), lambda progress: seen.append(progress.done))
    assert seen == [1, 2, 3]


def test_work_without_steps_still_has_a_result() -> None:
    assert finish(counting(0)) == "counted"


def test_an_error_inside_the_work_passes_through() -> None:
    def failing() -> Work[None]:
        yield Progress("failing", 1, 2)
        raise ValueError("half-way")

    with pytest.raises(ValueError, match="half-way"):
        finish(failing())

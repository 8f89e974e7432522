"""Grids while a generator trains: at growing steps, of one run only, and without a trace in what is trained."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from ganhash_cli.engine import fakes, pool
from ganhash_cli.engine.samples import FILM, ROWS, SAMPLES, Samples
from ganhash_cli.errors import Interrupted
from pictures import paint
from test_pool import contents, make, making


@pytest.fixture(autouse=True)
def _one_thread(_same_for_every_test: None) -> None:
    torch.set_num_threads(1)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / SAMPLES).iterdir())


def steps(*numbers: int) -> list[str]:
    return [f"step-{number:08}.png" for number in numbers]


def test_grids_stand_at_powers_of_two_and_at_the_end_and_make_a_film(coloured: Path, tmp_path: Path) -> None:
    make(coloured, tmp_path / "fakes", steps=11)
    assert names(tmp_path / "fakes") == [*steps(1, 2, 4, 8, 11), FILM]
    with Image.open(tmp_path / "fakes" / SAMPLES / FILM) as film:
        frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(film)]
    assert len(frames) == 5
    with Image.open(tmp_path / "fakes" / SAMPLES / steps(8)[0]) as grid:
        assert grid.width == grid.height
        drawn = np.asarray(frames[3].crop((0, 0, *grid.size)), np.int16)
        assert np.abs(drawn - np.asarray(grid.convert("RGB"), np.int16)).mean() < 12  # a GIF has 256 colours


def test_a_grid_shows_fakes_in_the_order_of_their_classes_from_the_same_noise(coloured: Path, tmp_path: Path) -> None:
    made = make(coloured, tmp_path / "fakes", count=64)
    with Image.open(tmp_path / "fakes" / SAMPLES / steps(3)[0]) as image:
        grid = np.asarray(image)
    side = grid.shape[0] // ROWS
    scale = side // 32
    for number in (0, 7, 8, 63):  # the fakes themselves are drawn from that noise too
        row, column = divmod(number, ROWS)
        tile = grid[row * side : (row + 1) * side : scale, column * side : (column + 1) * side : scale]
        with Image.open(made.folder / made.images[number].path) as fake:
            assert (np.asarray(fake.convert("RGB")) == tile).all()


def test_what_is_trained_is_the_same_without_grids(
    coloured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(coloured, tmp_path / "with")
    monkeypatch.setattr(Samples, "note", lambda *_, **__: None)
    make(coloured, tmp_path / "without")
    whole = {name: each for name, each in contents(tmp_path / "with").items() if not name.startswith(SAMPLES)}
    assert whole == contents(tmp_path / "without")


def test_a_run_that_goes_on_leaves_the_grids_of_one_that_was_not_stopped(coloured: Path, tmp_path: Path) -> None:
    make(coloured, tmp_path / "whole", steps=9)
    work = making(coloured, tmp_path / "stopped", steps=9)
    while next(work).done != 5:
        pass
    with pytest.raises(Interrupted):
        work.throw(Interrupted(15))
    assert names(tmp_path / "stopped") == steps(1, 2, 4)
    make(coloured, tmp_path / "stopped", steps=9)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


def test_grids_of_steps_that_a_kill_lost_do_not_stay(coloured: Path, tmp_path: Path) -> None:
    work = making(coloured, tmp_path / "fakes", steps=9)
    while next(work).done != 1:
        pass
    del work  # as if killed: nothing of it is saved
    paint(tmp_path / "fakes" / SAMPLES / steps(1024)[0], (1, 2, 3), seed=1)
    (tmp_path / "fakes" / SAMPLES / ".step-00000512.png.1.tmp").write_bytes(b"half")
    make(coloured, tmp_path / "fakes", steps=9)
    make(coloured, tmp_path / "whole", steps=9)
    assert contents(tmp_path / "fakes") == contents(tmp_path / "whole")


def test_another_run_replaces_grids_and_film(coloured: Path, tmp_path: Path) -> None:
    make(coloured, tmp_path / "fakes", steps=9)
    make(coloured, tmp_path / "fakes", steps=3, overwrite=True)
    make(coloured, tmp_path / "fresh", steps=3)
    assert contents(tmp_path / "fakes") == contents(tmp_path / "fresh")


def test_a_class_may_be_called_samples(coloured: Path, tmp_path: Path) -> None:
    (coloured / "red").rename(coloured / SAMPLES)
    made = make(coloured, tmp_path / "fakes")
    assert sum(image.path.startswith(SAMPLES) for image in made.images) == 12
    make(coloured, tmp_path / "fakes", steps=2, overwrite=True)
    assert len(fakes.Fakes.open(tmp_path / "fakes").images) == 36
    assert names(tmp_path / "fakes")[12:] == [*steps(1, 2), FILM]


def test_a_grid_that_was_damaged_is_left_out_of_the_film_and_told_of(
    coloured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trained = pool._trained

    def damaging(*given: object) -> object:
        network = yield from trained(*given)  # type: ignore[arg-type]
        (tmp_path / "fakes" / SAMPLES / steps(2)[0]).write_bytes(b"nonsense")
        return network

    monkeypatch.setattr(pool, "_trained", damaging)
    make(coloured, tmp_path / "fakes")
    with Image.open(tmp_path / "fakes" / SAMPLES / FILM) as film:
        assert getattr(film, "n_frames", 1) == 2  # of steps 1 and 3
    assert "step-00000002.png cannot be read" in caplog.text


def test_progress_tells_how_many_images_are_seen_a_second(coloured: Path, tmp_path: Path) -> None:
    seen = [step.figures for step in making(coloured, tmp_path / "fakes") if step.stage == "training tiny"]
    assert all(figures["images/s"] > 0 for figures in seen)
    assert len(seen) == 3

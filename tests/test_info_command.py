"""`ganhash info` tells what each kind of output is, and loads nothing large for it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ganhash_cli.engine import images
from ganhash_cli.engine.encoder import encode
from ganhash_cli.engine.files import write_json
from ganhash_cli.engine.progress import finish
from linear_hash import BITS, SIDE, LinearHash, write_bundle
from pictures import paint_classes
from test_encode_command import Printed, run


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a model, codes and the description of some fakes."""
    monkeypatch.chdir(tmp_path)
    bundle = write_bundle(Path("model"))
    folder = paint_classes(Path("folder"), each=2)
    finish(encode(bundle, images.collect(folder), Path("codes.h5"), runtime=LinearHash()))
    Path("fakes").mkdir()
    write_json(
        Path("fakes/fakes.json"),
        {
            "generator": {"name": "sngan", "options": {"base": 48}},
            "count": 500,
            "class_names": ["red", "blue"],
            "quality": {"frechet_distance": 12.34567},
            "settings": {"seed": 0},
            "training_digest": "ab",
        },
    )


def told(printed: Printed, path: str) -> dict[str, Any]:
    code, out, _ = run(printed, "info", path, "--json")
    assert code == 0
    record: dict[str, Any] = json.loads(out)
    return record


def test_codes_are_told_of(capsys: Printed) -> None:
    record = told(capsys, "codes.h5")
    assert (record["kind"], record["images"], record["bits"], record["side"]) == ("codes", 6, BITS, SIDE)
    assert (record["classes"], record["root"]) == (["blue", "green", "red"], str(Path("folder").resolve()))


def test_without_a_path_all_that_stands_here_is_told_of(capsys: Printed) -> None:
    code, out, _ = run(capsys, "info", "--json")
    kinds = [json.loads(line)["kind"] for line in out.splitlines()]
    assert (code, kinds) == (0, ["fakes", "model", "codes"])
    code, out, _ = run(capsys, "info")
    assert (code, out.count("kind\t"), out.count("\n\n")) == (0, 3, 2)


def test_one_unfinished_place_keeps_nothing_else_from_being_told_of(capsys: Printed) -> None:
    Path("fakes/fakes.json").unlink()
    Path("fakes/.work").mkdir()
    code, out, error = run(capsys, "info", "--json")
    assert [json.loads(line)["kind"] for line in out.splitlines()] == ["model", "codes"]
    assert (code, "fakes is unfinished" in error) == (4, True)


def test_of_several_places_that_cannot_be_told_of_the_worst_ends_the_command(capsys: Printed) -> None:
    Path("fakes/fakes.json").unlink()
    Path("fakes/.work").mkdir()
    Path("codes.h5").write_bytes(b"nothing")
    code, out, error = run(capsys, "info")
    assert (code, out.count("kind\t"), "warning: fakes is unfinished" in error) == (6, 1, True)


def test_a_model_is_told_of(capsys: Printed) -> None:
    record = told(capsys, "model")
    assert (record["kind"], record["backbone"], record["bits"]) == ("model", "linear", BITS)
    assert record["metrics"] == {"validation_map_at_all": 0.5}


def test_codes_and_their_model_have_one_fingerprint(capsys: Printed) -> None:
    assert told(capsys, "codes.h5")["fingerprint"] == told(capsys, "model")["fingerprint"]


def test_fakes_are_told_of(capsys: Printed) -> None:
    record = told(capsys, "fakes")
    assert (record["kind"], record["generator"], record["images"]) == ("fakes", "sngan", 500)
    assert record["quality"] == {"frechet_distance": 12.34567}


def test_collapsed_fakes_are_called_so(capsys: Printed) -> None:
    collapsed = {"precision": 0.9, "recall": 0.01, "frechet_images": [500, 500], "diversity": 0.8}
    write_json(Path("fakes/fakes.json"), {"count": 500, "quality": collapsed})
    assert told(capsys, "fakes")["verdict"].startswith("mode collapse: ")
    assert "verdict\tmode collapse: " in run(capsys, "info", "fakes")[1]


@pytest.mark.parametrize("quality", ["good", {"precision": "good", "recall": 0.0, "frechet_images": [500, 500]}])
def test_figures_that_are_none_mean_nothing(capsys: Printed, quality: Any) -> None:
    write_json(Path("fakes/fakes.json"), {"count": 500, "quality": quality})
    assert told(capsys, "fakes")["verdict"] is None


def test_fakes_of_an_unfinished_description_are_told_of_as_far_as_known(capsys: Printed) -> None:
    write_json(Path("fakes/fakes.json"), {"count": 3})
    assert told(capsys, "fakes")["images"] == 3


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("codes.h5", "classes\tblue, green, red"),
        ("codes.h5", "labelled\tyes"),
        ("model", "metrics.validation_map_at_all\t0.5"),
        ("model", "fakes\t-"),
        ("fakes", "quality.frechet_distance\t12.35"),
    ],
)
def test_a_person_reads_one_fact_a_line(capsys: Printed, path: str, line: str) -> None:
    assert line in run(capsys, "info", path)[1].splitlines()


def test_a_person_reads_the_main_facts_and_with_v_all_settings(capsys: Printed) -> None:
    generator = {"name": "sngan", "options": {"base": 48}}
    settings = {"steps": 40_000, "minutes": None, "seed": 0, "generator": generator, "ema_decay": 0.995}
    write_json(Path("fakes/fakes.json"), {"count": 44_097, "generator": generator, "settings": settings})
    lines = run(capsys, "info", "fakes")[1].splitlines()
    assert {"images\t44097", "generator\tsngan", "settings.steps\t40000"} <= set(lines)
    assert [line for line in lines if line.startswith(("settings.minutes", "settings.generator", "settings.ema"))] == []
    assert "settings.ema_decay\t0.995" in run(capsys, "info", "fakes", "-v")[1].splitlines()


def test_of_many_classes_a_person_reads_the_first_and_how_many_and_a_program_all(capsys: Printed) -> None:
    names = [f"class {number:03}" for number in range(100)]
    write_json(Path("fakes/fakes.json"), {"class_names": names})
    [line] = [line for line in run(capsys, "info", "fakes")[1].splitlines() if line.startswith("classes\t")]
    assert line == f"classes\t{', '.join(names[:10])} and 90 more"
    assert told(capsys, "fakes")["classes"] == names


def test_nothing_there_is_exit_4(capsys: Printed) -> None:
    assert run(capsys, "info", "nowhere")[0] == 4


def test_a_folder_of_something_else_is_exit_4(capsys: Printed) -> None:
    code, _, error = run(capsys, "info", "folder")
    assert (code, "neither a model nor a folder of fakes" in error) == (4, True)


@pytest.mark.parametrize("path", ["codes.h5", "model/bundle.json", "fakes/fakes.json"])
def test_a_damaged_file_is_exit_6(capsys: Printed, path: str) -> None:
    Path(path).write_bytes(Path(path).read_bytes()[:-9])
    place = path if path == "codes.h5" else str(Path(path).parent)
    assert run(capsys, "info", place)[0] == 6


@pytest.mark.parametrize("path", ["codes.h5", "model", "fakes"])
def test_info_loads_nothing_large(path: str) -> None:
    program = (
        "import sys\nfrom ganhash_cli.app import main\n"
        f"try: main(['info', {path!r}])\nexcept SystemExit as end: assert not end.code\n"
        "print(sorted({'torch', 'torchvision', 'timm', 'faiss', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("begun", ["fakes/.work", "model/checkpoints"])
def test_an_unfinished_folder_is_called_so(
    begun: str, capsys: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(begun).mkdir(parents=True, exist_ok=True)
    for left in Path(begun).parent.glob("*.json"):
        left.unlink()
    code, _, error = run(capsys, "info", begun.split("/")[0])
    assert (code, "is unfinished" in error) == (4, True)

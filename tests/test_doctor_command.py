"""`ganhash doctor` from the outside: sound and broken installations and folders, and what its JSON never says."""

import json
import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from ganhash_cli.engine import images, sample
from ganhash_cli.engine.encoder import encode
from ganhash_cli.engine.progress import finish
from linear_hash import BITS, LinearHash, write_bundle
from pictures import paint_classes
from stranger import beside, install
from test_encode_command import Printed, run
from test_fakes import describe, made, pictures
from test_verify_command import flip, flip_in


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def told(printed: Printed, *options: str) -> tuple[int, dict[str, Any]]:
    code, out, _ = run(printed, "doctor", "--json", *options)
    record: dict[str, Any] = json.loads(out)
    return code, record


def fill(source: str = "folder/") -> None:
    """Make a model, its codes, and fakes of other images."""
    bundle = write_bundle(Path("model"), source=source)
    finish(
        encode(bundle, images.collect(paint_classes(Path("folder"), each=2)), Path("codes.h5"), runtime=LinearHash())
    )
    record = made(Path("fakes"), pictures(4), [0, 1, 1, 2]).record
    describe(Path("fakes"), {**record, "generator": {"name": "tiny"}})


def bare(site: Path, *more: str) -> Path:
    """Make a folder of installed packages: ganhash, Typer and what that needs, and of `more` the metadata alone."""
    site.mkdir()
    for name in needs("typer"):
        for place in {path.parts[0] for path in distribution(name).files or [] if path.parts[0] != ".."}:
            (site / place).symlink_to(Path(str(distribution(name).locate_file(place))))
    for name in ("ganhash", *more):
        metadata = Path(str(distribution(name)._path))  # type: ignore[attr-defined]  # of those on disk
        (site / metadata.name).symlink_to(metadata)
    for module in ("ganhash_cli", "ganhash_plugins"):
        (site / module).symlink_to(Path(str(__import__(module).__file__)).parent)
    return site


def needs(package: str) -> set[str]:
    """Return a package and all that it needs here; without Typer there is no command line at all."""
    wanted = [Requirement(line) for line in distribution(package).requires or []]
    here = [each.name for each in wanted if not each.marker or each.marker.evaluate({"extra": ""})]
    return {package}.union(*map(needs, here))


def doctor_in(site: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command where `site` is all that is installed."""
    program = f"import sys; sys.path.insert(0, {str(site)!r}); from ganhash_cli.app import main; main(sys.argv[1:])"
    command = [sys.executable, "-I", "-S", "-c", program, "doctor", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_sound_installation_in_an_empty_folder_has_no_problem(capsys: Printed) -> None:
    code, record = told(capsys)
    assert (code, record["problems"], record["next"], record["schema"]) == (0, [], "ganhash generate", 1)
    assert {each["state"] for each in record["dependencies"] if not each["extra"]} == {"ok"}
    assert {"generator sngan", "backbone timm"} <= {f"{p['kind']} {p['name']}" for p in record["plugins"]}
    assert {record["holds"][name]["state"] for name in ("fakes", "model", "codes")} == {"absent"}


def test_it_imports_nothing_large_and_no_plugin() -> None:
    fill()
    program = (
        "import sys\nfrom ganhash_cli.app import main\n"
        "try: main(['doctor', '--json'])\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'timm', 'faiss', 'onnx', 'onnxruntime', 'ganhash_plugins'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_where_torch_timm_and_onnx_are_absent_it_names_them_and_the_command_that_mends_it(tmp_path: Path) -> None:
    done = doctor_in(bare(tmp_path / "site"), "--json")
    record = json.loads(done.stdout)
    problems = {each["of"]: each for each in record["problems"]}
    assert (done.returncode, done.stderr) == (11, "")
    assert {"torch", "timm", "onnx", "numpy"} <= set(problems)
    assert problems["torch"]["mend"] == "pip install 'torch>=2.10'"
    assert record["devices"] == {"cuda": None, "mps": None, "how": "no torch"}


def test_where_packages_are_absent_a_model_and_codes_are_not_called_damaged(tmp_path: Path) -> None:
    fill()
    record = json.loads(doctor_in(bare(tmp_path / "site"), "--json").stdout)
    assert {record["holds"][name]["state"] for name in ("fakes", "model", "codes")} == {"unknown"}


def test_a_package_that_is_there_but_cannot_be_imported_is_named_where_it_is_needed(tmp_path: Path) -> None:
    fill()
    site = tmp_path / "site" / "h5py"
    site.mkdir(parents=True)
    (site / "__init__.py").write_text("raise ImportError('libhdf5.so is not there', name='h5py')")
    command = [sys.executable, "-m", "ganhash_cli", "doctor", "--json"]
    environment = {**os.environ, "PYTHONPATH": beside(site.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    problems = [(each["of"], each["mend"]) for each in json.loads(done.stdout)["problems"]]
    assert (done.returncode, problems) == (11, [("codes", "pip install --force-reinstall h5py")])


def test_a_person_reads_what_is_missing_and_what_mends_it(tmp_path: Path) -> None:
    done = doctor_in(bare(tmp_path / "site"))
    assert "problem: torch is missing\n  mend: pip install 'torch>=2.10'\n" in done.stdout
    assert "torch\t-\tmissing" in done.stdout.splitlines()
    assert "Traceback" not in done.stderr


def test_a_package_whose_files_are_gone_is_broken(tmp_path: Path) -> None:
    record = json.loads(doctor_in(bare(tmp_path / "site", "timm"), "--json").stdout)
    problem = next(each for each in record["problems"] if each["of"] == "timm")
    assert (problem["what"], problem["mend"][:29]) == (
        "is installed, but its files are not there",
        "pip install --force-reinstall",
    )


def test_a_package_that_is_too_old_is_named_with_what_is_needed(
    capsys: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "timm", "", version="0.9")
    code, record = told(capsys)
    wanted = next(each["wanted"] for each in record["dependencies"] if each["name"] == "timm")
    assert code == 11
    assert record["problems"][0] == {
        "of": "timm",
        "what": f"is 0.9, and {wanted} is needed",
        "mend": f"pip install --upgrade 'timm{wanted}'",
        "exit": 11,
    }


def test_an_extra_that_is_absent_is_no_problem(tmp_path: Path, capsys: Printed) -> None:
    record = json.loads(doctor_in(bare(tmp_path / "site"), "--json").stdout)
    extra = {each["name"] for each in record["dependencies"] if each["extra"] == "dev"}
    assert {each["state"] for each in record["dependencies"] if each["extra"] == "dev"} == {"missing"}
    assert not extra & {each["of"] for each in record["problems"]}


def test_plugins_are_not_blamed_where_a_package_is_absent(tmp_path: Path) -> None:
    record = json.loads(doctor_in(bare(tmp_path / "site"), "--json", "--load").stdout)
    assert (record["plugins_loaded"], {each["exit"] for each in record["problems"]}) == (False, {11})


def test_a_folder_of_source_that_is_not_installed_is_a_problem(tmp_path: Path) -> None:
    site = bare(tmp_path / "site")
    next(site.glob("ganhash-*")).unlink()
    done = doctor_in(site, "--json")
    assert (done.returncode, json.loads(done.stdout)["problems"][0]["of"]) == (11, "ganhash")


def test_another_command_where_a_package_is_absent_names_it_and_the_doctor(tmp_path: Path) -> None:
    site = bare(tmp_path / "site")
    program = f"import sys; sys.path.insert(0, {str(site)!r}); from ganhash_cli.app import main; main(['train'])"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 11
    assert "ganhash doctor" in done.stderr


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("class Plugin(", "is no Python: line 1 of its module"),
        (None, "is not there: its package names the module outsider"),
    ],
)
def test_a_broken_plugin_is_named_without_being_imported(
    code: str | None, what: str, capsys: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "outsider", code or "")
    if code is None:
        (tmp_path / "site-outsider" / "outsider.py").unlink()
    exit_code, record = told(capsys)
    assert (exit_code, record["problems"]) == (
        9,
        [
            {
                "of": "backbone odd",
                "what": what,
                "mend": "pip install --upgrade --force-reinstall outsider, or pip uninstall outsider",
                "exit": 9,
            }
        ],
    )


def test_two_plugins_with_one_name_are_one_problem(
    capsys: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "stranger", "class Plugin: ...", name="timm")
    _, record = told(capsys)
    problems = [(each["of"], each["what"], each["mend"]) for each in record["problems"]]
    assert problems == [("backbone timm", "is offered by ganhash and by stranger", "pip uninstall stranger")]


def test_a_plugin_that_cannot_be_loaded_is_found_by_load_alone(
    capsys: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "stranger", "print('noise')\nraise RuntimeError('for this reason')")
    assert told(capsys)[0] == 0
    code, out, error = run(capsys, "doctor", "--load")
    assert code == 9
    assert "problem: backbone odd could not be loaded: RuntimeError (for this reason)\n" in out
    assert "noise" not in out + error


def test_a_whole_folder_is_told_of_by_its_headers(capsys: Printed) -> None:
    fill()
    code, record = told(capsys)
    holds = record["holds"]
    assert code == 0
    assert holds["fakes"] == {"state": "whole", "images": 4, "generator": "tiny"}
    assert holds["model"] == {"state": "whole", "bits": BITS, "pixels": 16, "backbone": "linear"}
    assert holds["codes"] == {"state": "whole", "images": 6, "bits": BITS}
    assert (holds["codes_are_the_models"], holds["model_is_of_the_fakes_images"]) == (True, False)
    assert record["next"] == "ganhash query IMAGE"


def test_a_backbone_that_is_named_like_a_file_is_not_named(capsys: Printed) -> None:
    record = made(Path("fakes"), pictures(4), [0, 1, 1, 2]).record
    describe(Path("fakes"), {**record, "generator": {"name": "/home/mallory/mine"}})
    assert told(capsys)[1]["holds"]["fakes"] == {"state": "whole", "images": 4}


def test_no_row_of_codes_is_read(capsys: Printed) -> None:
    fill()
    flip_in("path_offsets")
    assert told(capsys)[1]["holds"]["codes"]["state"] == "whole"


def test_codes_of_another_model_are_a_problem(capsys: Printed) -> None:
    fill()
    Path("model").rename("earlier")
    write_bundle(Path("model"), seed=1)
    code, record = told(capsys)
    mend = {each["of"]: each["mend"] for each in record["problems"]}
    assert (code, mend) == (5, {"codes": "ganhash encode FOLDER --overwrite"})
    assert record["next"] == "ganhash encode FOLDER --overwrite"


@pytest.mark.parametrize(
    ("path", "of", "mend"),
    [
        ("fakes/fakes.json", "fakes", "ganhash generate IMAGES --overwrite"),
        ("model/bundle.json", "model", "ganhash train IMAGES --overwrite"),
        ("codes.h5", "codes", "ganhash encode FOLDER --overwrite"),
    ],
)
def test_a_damaged_part_is_named_with_what_makes_it_anew(path: str, of: str, mend: str, capsys: Printed) -> None:
    fill()
    flip(path, 12)
    code, record = told(capsys)
    assert (code, [(each["of"], each["mend"]) for each in record["problems"]]) == (6, [(of, mend)])


@pytest.mark.parametrize("source", ["folder/", sample.TRAINED_ON])
def test_what_makes_a_model_anew_names_no_images_only_where_it_learned_from_the_sample(
    source: str, capsys: Printed
) -> None:
    fill(source)
    flip("model/weights.safetensors")
    code, record = told(capsys)
    wanted = "ganhash train --overwrite" if source == sample.TRAINED_ON else "ganhash train IMAGES --overwrite"
    assert (code, [each["mend"] for each in record["problems"]]) == (6, [wanted])


@pytest.mark.parametrize("part", ["hasher.onnx", "bundle.json"])
def test_a_model_that_lacks_a_part_is_damaged(part: str, capsys: Printed) -> None:
    fill()
    Path("model", part).unlink()
    assert told(capsys)[0] == 6


def test_what_cannot_be_read_is_named(capsys: Printed) -> None:
    Path("model/bundle.json").mkdir(parents=True)
    code, record = told(capsys)
    assert (code, record["problems"][0]["mend"]) == (4, "chmod -R u+rX model")


@pytest.mark.parametrize(
    ("there", "following"),
    [
        ([], "ganhash generate"),
        (["fakes/.work"], "ganhash generate IMAGES"),
        (["model/checkpoints"], "ganhash train IMAGES"),
        (["fakes"], "ganhash generate"),
    ],
)
def test_what_comes_next_depends_on_what_is_there(there: list[str], following: str, capsys: Printed) -> None:
    for path in there:
        Path(path).mkdir(parents=True)
    assert told(capsys)[1]["next"] == following


@pytest.mark.parametrize(
    ("images", "following"),
    [
        (["my photos/deep/a.JPG"], "ganhash train 'my photos'"),
        (["a.png"], "ganhash train ."),
        (["photos/a.png", "more/a.png"], "ganhash train IMAGES"),
        (["notes/a.txt", ".hidden/a.png"], "ganhash generate"),
    ],
)
def test_where_there_is_one_folder_of_images_and_no_model_it_is_named(
    images: list[str], following: str, capsys: Printed
) -> None:
    for name in images:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    assert f"next: {following}\n" in run(capsys, "doctor")[2]
    assert told(capsys)[1]["next"] == ("ganhash train IMAGES" if "train" in following else following)


def test_after_the_fakes_comes_training_and_after_the_model_encoding(capsys: Printed) -> None:
    made(Path("fakes"), pictures(4), [0, 1, 1, 2])
    assert told(capsys)[1]["next"] == "ganhash train IMAGES"
    write_bundle(Path("model"))
    assert told(capsys)[1]["next"] == "ganhash encode FOLDER"


@pytest.mark.parametrize("wrong", ["nothing", "everything"])
def test_the_json_names_no_file_no_person_and_no_machine(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = tmp_path / 'mallory "x"\x1b[31m' / "mallory-thesis"
    hostile.mkdir(parents=True)
    monkeypatch.chdir(hostile)
    fill()
    if wrong == "everything":
        for path in ("fakes/fakes.json", "model/bundle.json", "codes.h5"):
            flip(path, 12)
        install(hostile, monkeypatch, "stranger", "open('/home/mallory/secret.txt')")
    secret = {
        "HOME": str(hostile),
        "USER": "mallory",
        "LOGNAME": "mallory",
        "HOSTNAME": "mallory",
        "TMPDIR": str(hostile),
    }
    environment = {**os.environ, **secret, "PYTHONPATH": beside(hostile / "site-stranger")}
    command = [sys.executable, "-P", "-m", "ganhash_cli", "doctor", "--load", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    record = json.loads(done.stdout)
    assert len(record["problems"]) == {"nothing": 0, "everything": 4}[wrong]
    for word in ("mallory", os.uname().nodename, str(tmp_path), "secret", "folder/", "red", "/home", str(Path.home())):
        assert word not in done.stdout, word


def test_what_a_plugin_is_called_cannot_move_the_cursor(
    capsys: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "stranger", "class Plugin(", name="\x1b[31mred")
    assert "\x1b" not in run(capsys, "doctor")[1]

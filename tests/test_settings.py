"""Options that nobody typed, of `ganhash.toml` and the environment: read, checked, and named where one is wrong."""

from pathlib import Path

import pytest

from ganhash_cli.errors import UsageError
from ganhash_cli.settings import read
from pictures import paint_classes
from test_encode_command import Printed, run


def test_no_file_means_no_read(tmp_path: Path) -> None:
    assert read(tmp_path / "ganhash.toml") == {}


def test_a_table_is_a_verb_and_a_key_an_option(tmp_path: Path) -> None:
    file = tmp_path / "ganhash.toml"
    file.write_text("[train]\nbits = 64\n")
    assert read(file) == {"train": {"bits": 64}}


@pytest.mark.parametrize("content", [b"[train\n", b"[train]\nbackbone = '\xff'\n"])
def test_a_broken_file_is_a_usage_error_that_names_it(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "ganhash.toml"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"ganhash\.toml: "):
        read(file)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[train]\nB = ['nothing']", "-B"),
        ("[query]\n0 = true\nk = 0", "-k"),
        ("[generate]\noutput = 'x'\nsize = 2", "--size"),
    ],
)
def test_a_key_may_be_what_is_typed(
    text: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ganhash.toml").write_text(text)
    Path("images").mkdir()
    verb = text[1:].partition("]")[0]
    _, _, error = run(capsys, verb, "images")
    assert (says in error, "there is no option" in error) == (True, False), error


@pytest.mark.parametrize(
    ("text", "words", "left_out"),
    [
        ("loss = 'csq'\nL = ['smoothing=0.1']", ("--loss", "dtsh"), "-L is for loss 'csq', and not used for 'dtsh'"),
        ("loss = 'csq'\nL = ['nothing=1']", ("--loss", "csq"), None),
        ("L = ['nothing=1']", (), None),
        ("L = ['nothing=1']", ("--loss", "triplet"), None),
        ("L = ['margin=4']", ("--loss", "csq"), "-L is for loss 'triplet', and not used for 'csq'"),
        ("b = 'smallconv'\nB = ['nothing=1']", ("-b", "resnet10t"), "-B is for backbone 'smallconv'"),
        ("B = ['nothing=1']", ("-b", "efficientnet_lite0"), None),
        ("b = 'smallconv'\nB = ['nothing=1']", ("-b", "resnet10t", "-B", "pretrained=no"), None),
    ],
)
def test_options_that_are_set_for_another_loss_or_plugin_are_left_out(
    text: str,
    words: tuple[str, ...],
    left_out: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Printed,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ganhash.toml").write_text(f"[train]\n{text}\n")
    Path("images").mkdir()
    code, _, error = run(capsys, "train", "images", *words)
    assert code != 0, error
    assert ("warning: ganhash.toml [train]: " in error, "'nothing'" in error) == (
        left_out is not None,
        left_out is None and "pretrained=no" not in words,
    ), error
    assert left_out is None or left_out in error


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("[train]\nno_fakes = true", "train images --fakes gone -b smallconv", "gone/ holds no fakes"),
        ("[train]\nno_fakes = true", "train images --fakes-as labels -b smallconv", "fakes/ holds no fakes"),
        (
            "[generate]\nminutes = 5",
            "generate images --steps 3 -g ddpm --augment color --features smallconv",
            "for a critic",
        ),
        ("[generate]\nsteps = 5", "generate images --minutes 1 -g ddpm --augment color --features smallconv", "critic"),
        ("[generate]\nsteps = 5\nminutes = 1", "generate images", "exclude each other"),
    ],
)
def test_what_is_typed_wins_over_a_setting_that_it_excludes(
    text: str, words: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.chdir(tmp_path)
    paint_classes(Path("images"), each=3)
    Path("ganhash.toml").write_text(text)
    assert said in run(capsys, *words.split())[2]


def test_a_variable_is_for_what_the_file_chooses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ganhash.toml").write_text("[train]\nbackbone = 'smallconv'\n")
    Path("images").mkdir()
    monkeypatch.setenv("GANHASH_TRAIN_BACKBONE_OPTIONS", "nothing=1")
    assert "'nothing'" in run(capsys, "train", "images")[2]
    assert "'nothing'" in run(capsys, "train", "images", "-b", "smallconv")[2]
    _, _, error = run(capsys, "train", "images", "-b", "efficientnet_lite0")
    assert "GANHASH_TRAIN_BACKBONE_OPTIONS: -B is for backbone 'smallconv'" in error
    monkeypatch.setenv("GANHASH_TRAIN_BACKBONE", "resnet10t")
    monkeypatch.setenv("GANHASH_TRAIN_BACKBONE_OPTIONS", "weights=none")
    _, _, error = run(capsys, "train", "images", "-b", "smallconv")
    assert "GANHASH_TRAIN_BACKBONE_OPTIONS: -B is for backbone 'resnet10t', and not used for 'smallconv'" in error


@pytest.mark.parametrize(
    ("verb", "name"),
    [
        ("train", "backbone_options"),
        ("train", "loss_options"),
        ("generate", "generator_options"),
        ("push", "option"),
        ("encode", "nul"),
    ],
)
def test_help_names_the_setting_of_an_option_that_has_only_a_letter(capsys: Printed, verb: str, name: str) -> None:
    _, out, _ = run(capsys, verb, "--help")
    assert f"In settings: {name}." in " ".join(out.replace("│", "").split())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("GANHASH_QERY_K", "warning: GANHASH_QERY_K sets no option; did you mean GANHASH_QUERY_K?"),
        ("GANHASH_QUERY_KAY", "warning: GANHASH_QUERY_KAY sets no option; did you mean GANHASH_QUERY_K?"),
        ("GANHASH_TOKEN", ""),
        ("GANHASH_QUERY_MAX_DISTANCE", ""),
    ],
)
def test_a_variable_that_sets_no_option_is_warned_of(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, "1")
    _, _, error = run(capsys, "plugins", "list")
    assert error.strip() == said


@pytest.fixture
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize("more", [[], ["--json"]])
@pytest.mark.parametrize(
    ("verb", "option", "value"),
    [("query", "k", "0"), ("train", "bits", "many"), ("train", "backbone", "smalcon"), ("export", "for", "solr")],
)
def test_a_wrong_value_is_blamed_on_the_place_where_it_stands(
    verb: str, option: str, value: str, more: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    name = {"for": "to"}.get(option, option)  # as the function calls it
    Path("ganhash.toml").write_text(f"[{verb}]\n{name} = '{value}'\n")
    words = ["x", *more] if verb == "query" else more
    code, _, error = run(capsys, verb, *words)
    assert (code, f"ganhash.toml [{verb}]: " in error) == (2, True)
    monkeypatch.setenv(f"GANHASH_{verb.upper()}_{name.upper()}", value)
    code, _, error = run(capsys, verb, *words)
    assert (code, f"GANHASH_{verb.upper()}_{name.upper()}: " in error) == (2, True)


@pytest.mark.usefixtures("_here")
def test_a_wrong_value_that_was_typed_is_not_blamed_on_the_file(capsys: Printed) -> None:
    Path("ganhash.toml").write_text("[query]\nk = 3\n")
    code, _, error = run(capsys, "query", "x", "-k", "0")
    assert (code, "ganhash.toml" in error) == (2, False)


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize("words", [["--version"], ["--help"], ["query", "--help"], ["train", "-h"]])
def test_what_only_tells_works_beside_a_broken_file(words: list[str], capsys: Printed) -> None:
    Path("ganhash.toml").write_text("[query")
    code, _, error = run(capsys, *words)
    assert (code, error) == (0, "")


@pytest.mark.usefixtures("_here")
def test_what_is_missing_may_stand_in_the_file_that_is_broken(capsys: Printed) -> None:
    Path("ganhash.toml").write_text("[evaluate]\nqueries = 'x'\n[query")
    code, _, error = run(capsys, "evaluate")
    assert (code, error.startswith("error: ganhash.toml: ")) == (2, True)


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize("name", ["VERSION", "HELP", "INSTALL_COMPLETION", "SHOW_COMPLETION"])
def test_the_environment_starts_nothing_that_acts_at_once(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.setenv(f"GANHASH_{name}", "1")
    code, out, error = run(capsys, "query", "nowhere.png")
    assert (code, out, "nowhere.png does not exist" in error) == (4, "", True)


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize(
    ("text", "place"),
    [("[query", "ganhash.toml"), ("[query]\nk = 0", "ganhash.toml [query]"), ("[plugins.list]\nverbose = 'x'", "list")],
)
def test_doctor_names_settings_that_no_option_takes(text: str, place: str, capsys: Printed) -> None:
    Path("ganhash.toml").write_text(text)
    code, out, _ = run(capsys, "doctor")
    assert (code, "sets what no option takes" in out, place in out) == (2, True, True)


@pytest.mark.usefixtures("_here")
def test_doctor_names_a_variable_that_no_option_takes(monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> None:
    monkeypatch.setenv("GANHASH_TRAIN_BITS", "many")
    code, out, _ = run(capsys, "doctor")
    assert (code, "problem: GANHASH_TRAIN_BITS sets what no option takes" in out) == (2, True)

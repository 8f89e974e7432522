"""Words that a command cannot take: the error says what is missing, what there is, and what to type instead."""

import subprocess
import sys
from pathlib import Path

import pytest

from pictures import paint
from test_encode_command import Printed, run, say_on_stdin


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("export", "Missing option '--for'.", "there are opensearch, elasticsearch, vespa"),
        ("plugins show", "Missing argument 'kind'.", "there are generator, backbone, index"),
        ("plugins show backbone", "Missing argument 'name'.", "there are efficientnet_lite0, smallconv, timm"),
        ("push", "Missing option '--to'.", "The index, such as postgresql://host/database."),
    ],
)
def test_who_leaves_something_out_reads_what_it_may_be(capsys: Printed, words: str, message: str, hint: str) -> None:
    code, out, error = run(capsys, *words.split())
    assert (code, out, error) == (2, "", f"error: {message}\n  hint: {hint}\n")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("train -o m", "No such option: -o", "`ganhash train` calls it --model or -m"),
        ("serve --codes c.h5", "No such option: --codes", "`ganhash serve` takes it as a word: `ganhash serve CODES`"),
        ("dedup x --f", "No such option: --f", "`ganhash dedup` calls it -f or --files"),
        ("train --loss itqq", "Invalid value for '--loss': 'itqq' is not one of", "did you mean itq?"),
        ("query x -k y", "Invalid value for '-k' / '--k': 'y' is no whole number.", "`ganhash query --help` lists"),
        ("query x -k 0", "Invalid value for '-k' / '--k': 0 is less than 1.", "`ganhash query --help` lists"),
        ("serve --port 70000", "Invalid value for '--port': 70000 is not from 0 to 65535.", "`ganhash serve --help`"),
        ("train --bits 0", "--bits 0: must be from 1 to 1,024", "`ganhash train --help` tells what it is for"),
    ],
)
def test_who_types_what_a_command_does_not_take_reads_what_it_does(
    capsys: Printed, words: str, message: str, hint: str
) -> None:
    code, _, error = run(capsys, *words.split())
    assert (code, error.startswith(f"error: {message}")) == (2, True), error
    assert f"\n  hint: {hint}" in error


def test_a_number_of_neighbours_may_be_asked_for_with_two_dashes_too(capsys: Printed) -> None:
    code, _, error = run(capsys, "query", "nowhere.png", "--k", "5")
    assert (code, "nowhere.png does not exist" in error) == (4, True)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("dedup nowhere", "name a folder of images, or a codes file"),
        ("merge folder -o m.h5", "`ganhash encode` makes codes of images"),
        ("merge part*.h5 -o m.h5", "`ganhash encode FOLDER --shard 1/16 -o part-01.h5` makes a part"),
    ],
)
def test_who_names_no_codes_reads_what_makes_those_that_the_command_wants(
    capsys: Printed, words: str, hint: str
) -> None:
    Path("folder").mkdir()
    code, _, error = run(capsys, *words.split())
    assert (code, f"hint: {hint}" in error) == (4, True), error


@pytest.mark.parametrize(
    ("given", "flags", "said"),
    [
        (b"a.png\0b.png\0", [], "add -0"),
        (b"a.png\nb.png\n", ["-0"], "leave out -0"),
        (b"\x89PNG\r\n\x1a\n\0\0", [], "name the image in its place"),
    ],
)
def test_what_is_no_list_of_names_on_stdin_is_called_what_it_is(
    capsys: Printed, monkeypatch: pytest.MonkeyPatch, given: bytes, flags: list[str], said: str
) -> None:
    say_on_stdin(monkeypatch, given)
    code, _, error = run(capsys, "query", "-", *flags)
    assert (code, f"hint: {said}" in error) == (2, True), error


def test_who_leaves_out_the_kind_of_a_plugin_reads_it(capsys: Printed) -> None:
    code, _, error = run(capsys, "plugins", "show", "sngan")
    assert (code, "hint: try `ganhash plugins show generator sngan`" in error) == (2, True)


def test_who_leaves_out_a_kind_and_names_nothing_reads_the_kinds(capsys: Printed) -> None:
    code, _, error = run(capsys, "plugins", "show", "nothing")
    assert (code, "hint: it is one of generator, backbone, index" in error) == (2, True)


@pytest.mark.parametrize("verb", ["show", "check"])
def test_who_names_a_timm_model_as_a_plugin_reads_which_plugin_has_it(capsys: Printed, verb: str) -> None:
    code, _, error = run(capsys, "plugins", verb, "backbone", "resnet50")
    assert (code, "if it is a model of timm, name timm" in error) == (2, True)


URL = "postgresql://localhost/photos"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("query a.png --name photos", "--name needs an index at a URL, which --index names"),
        ("query a.png -I probes=1 --index ivf", "-I needs an index at a URL, which --index names"),
        ("evaluate --queries a --name photos", "--name needs an index at a URL, which --index names"),
        ("evaluate --queries a -I probes=1", "-I needs an index at a URL, which --index names"),
        ("serve -I probes=1", "-I needs an index at a URL, which --index names"),
        ("serve --name photos", "--name needs an index at a URL, which --index names"),
        (f"query a.png --codes codes.h5 --index {URL}", "--codes needs a codes file, and --index searches elsewhere"),
        (f"query a.png --untrusted --index {URL}", "--untrusted needs a codes file, and --index searches elsewhere"),
        (f"evaluate --queries a --codes b --index {URL}", "--codes needs a codes file, and --index searches elsewhere"),
        (f"evaluate --queries a --untrusted --index {URL}", "--untrusted needs a codes file, and --index searches"),
        (f"serve codes.h5 --index {URL}", "CODES needs a codes file, and --index searches elsewhere"),
        ("query a.png -f --json", "-f allows no --json"),
        ("query a -0", "-0 separates names on stdin and of -f"),
        ("query a --json -0", "-0 separates names on stdin and of -f"),
        ("encode a -0", "-0 separates names on stdin"),
        ("generate a -0", "-0 separates names on stdin"),
        ("train a -0", "-0 separates names on stdin"),
        ("query a.png --index ivf --rerank", "--index ivf allows no --rerank"),
        ("query a.png --index ivf --max-distance 3", "--index ivf allows no --max-distance"),
        ("train --loss itq --entropy-on mixup", "--entropy-on means nothing to --loss itq, which fits at once"),
        ("train --no-fakes --fakes a", "--fakes says how to use fakes, and --no-fakes to use none"),
        ("train --fake-filter 0.2", "--fake-filter is about labelled fakes, and needs --fakes-as labels or both"),
        ("train --fakes-as both --label-weight 0", "--label-weight of 0 makes nothing of the labelled fakes"),
        ("train --no-fakes --entropy-weight 0.1", "--entropy-weight is about maximum entropy, which --no-fakes leaves"),
        ("train --fakes-as labels --entropy shannon", "--entropy is about maximum entropy, and --fakes-as labels"),
        (
            "train --entropy-weight 0 --entropy-on noise",
            "--entropy-on is about maximum entropy, and --entropy-weight 0",
        ),
        ("train --entropy-on real --fakes a", "--fakes has no use beside --entropy-on"),
        ("train --entropy-weight 0 --fakes a", "--fakes has no use beside --entropy-weight 0"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(capsys: Printed, words: str, message: str) -> None:
    code, out, error = run(capsys, *words.split())
    assert (code, out) == (2, "")
    assert message in error
    assert "leave" in error


@pytest.mark.parametrize("words", ["--epochs 100", "--entropy-weight 0.1", "--no-fakes"])
def test_an_option_that_does_nothing_for_images_without_labels_is_refused(capsys: Printed, words: str) -> None:
    for number in range(12):
        paint(Path(f"photos/{number}.png"), (200, 40, 40), seed=number)
    code, _, error = run(capsys, "train", "photos", "-b", "smallconv", "--bits", "8", *words.split())
    refused = f"{words.split()[0]} means nothing to --loss itq" in error and "--loss contrastive" in error
    assert (code, refused) == ((0, False) if words == "--no-fakes" else (2, True)), error


@pytest.mark.parametrize(
    "words",
    [
        "train a --no-fakes --entropy-on noise --entropy-weight 0.1",
        "train a --fakes-as labels --entropy-on mixup --entropy-weight 0.1",
        "train a --fakes-as labels --entropy-weight 0 --fakes b --fakes-per-real 1",
        "train a --fakes-as both --entropy-on real --fakes b",
    ],
)
def test_options_that_have_a_use_together_are_taken(capsys: Printed, words: str) -> None:
    code, _, error = run(capsys, *words.split())
    assert (code, "a does not exist" in error) == (4, True)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ('[query]\nname = "photos"\ncodes = "other.h5"\n', "query a.png"),
        ("[query]\njson = true\n", "query a.png -f"),
        ("[query]\nfiles = true\n", "query a.png --json"),
        ("[query]\nnul = true\n", "query a.png"),
        ('[query]\nindex = "ivf"\n', "query a.png --rerank"),
        ("[query]\nmax-distance = 3\n", "query a.png --index ivf"),
        ('[evaluate]\nname = "photos"\nuntrusted = true\n', "evaluate --queries a"),
        ('[serve]\nname = "photos"\n', "serve"),
    ],
)
def test_a_setting_that_does_nothing_here_is_let_be(capsys: Printed, settings: str, words: str) -> None:
    Path("ganhash.toml").write_text(settings)
    assert run(capsys, *words.split())[0] == 4  # for want of codes or a model


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("train --epoch 3", "No such option: --epoch (did you mean --epochs?)", "`ganhash train --help` lists"),
        ("query q.png --bits 3", "No such option: --bits", "`ganhash query --help` lists the options"),
        ("query q.png -k", "Option '-k' requires an argument.", "write a value behind it"),
    ],
)
def test_an_option_is_guessed_only_where_it_is_near(capsys: Printed, words: str, message: str, hint: str) -> None:
    code, _, error = run(capsys, *words.split())
    first, second, *_ = error.splitlines()
    assert (code, first, second.startswith(f"  hint: {hint}")) == (2, f"error: {message}", True)


def test_several_folders_are_refused_with_the_ways_to_name_them(capsys: Printed) -> None:
    code, _, error = run(capsys, "encode", "a/", "my b")
    assert (code, error.splitlines()[0]) == (2, "error: ganhash encode takes one folder, not 2: a/, my b")
    assert "name a folder that holds all of them, or give names on stdin" in error
    assert "`find a/ 'my b' -type f | ganhash encode -`" in error


def test_of_very_many_words_three_are_named_and_the_rest_counted(capsys: Printed) -> None:
    error = run(capsys, "encode", *(f"{number}.jpg" for number in range(1004)))[2]
    assert "takes one folder, not 1,004: 0.jpg, 1.jpg, 2.jpg and 1,001 more\n" in error


def test_only_commands_that_read_names_tell_of_stdin(capsys: Printed) -> None:
    code, _, error = run(capsys, "dedup", "a", "b")
    assert (code, "hint: name a folder that holds all of them\n" in error) == (2, True)


def test_a_word_too_many_is_named_where_no_images_are_taken(capsys: Printed) -> None:
    code, _, error = run(capsys, "serve", "codes.h5", "other")
    assert (code, "error: ganhash serve does not take other\n" in error) == (2, True)


@pytest.mark.parametrize("verb", ["train", "generate"])
def test_images_that_do_not_exist_are_told_of_before_torch_is_loaded(verb: str) -> None:
    program = f"""
import sys
from ganhash_cli.app import main
try:
    main(["{verb}", "nowhere"])
except SystemExit as ended:
    print(ended.code, "torch" in sys.modules)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.stdout == "4 False\n"
    assert "nowhere does not exist" in ended.stderr

"""Plugins are found by metadata alone, and a broken one fails only its own use."""

import json
import sys
from pathlib import Path

import pytest

from ganhash_cli.errors import InputError, PluginError, StorageError, UsageError
from ganhash_cli.plugin.registry import Identity, build, find, identify, plugins
from stranger import install

GOOD = """
class Plugin:
    def __init__(self, *facts, width=8):
        self.facts, self.width = facts, width
"""


def identity(name: str = "odd", package: str = "stranger", **options: int) -> Identity:
    return Identity("backbone", name, {**options}, package, "1.2")


def raising(statement: str) -> str:
    return f"def Plugin(*, width: int = 8):\n    {statement}\n"


def test_a_package_on_the_path_is_listed_with_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "stranger", GOOD)
    listed = {plugin.name: (plugin.package, plugin.version) for plugin in plugins("backbone")}
    assert listed["odd"] == ("stranger", "1.2")


def test_built_ins_are_listed_through_the_same_door() -> None:
    owners = {plugin.name: plugin.package for plugin in plugins("generator")}
    assert owners["sngan"] == owners["tiny"] == "ganhash"


def test_listing_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "stranger", GOOD)
    plugins("backbone")
    assert "stranger" not in sys.modules


def test_a_generator_is_no_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "stranger", GOOD, kind="generator")
    assert "odd" not in {plugin.name for plugin in plugins("backbone")}


@pytest.mark.parametrize("code", ["raise ImportError('no such thing')", "import sys; sys.exit(3)", "def ("])
def test_a_plugin_that_fails_to_import_is_still_listed(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "stranger", code)
    assert "odd" in {plugin.name for plugin in plugins("backbone")}


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("raise ImportError('no such thing')", "ImportError: no such thing"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def (", "SyntaxError"),
        ("other = 1", "AttributeError"),
        ("Plugin = 1", "not a class or function"),
    ],
)
def test_a_plugin_that_fails_to_import_fails_its_own_use_and_names_its_package(
    code: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "stranger", code)
    with pytest.raises(PluginError, match=rf"'odd' of package stranger.*{fault}"):
        find("backbone", "odd").load()


def test_ctrl_c_during_an_import_is_no_fault_of_the_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "stranger", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        find("backbone", "odd").load()


def test_two_owners_of_a_name_are_both_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "stranger", GOOD)
    install(tmp_path, monkeypatch, "another", GOOD)
    with pytest.raises(UsageError, match="offered by another and by stranger"):
        find("backbone", "odd")


def test_an_unknown_name_brings_close_spellings() -> None:
    with pytest.raises(UsageError, match="no backbone named 'smalconv'; did you mean 'smallconv'"):
        find("backbone", "smalconv")


def test_an_unknown_name_brings_all_names_as_a_hint() -> None:
    with pytest.raises(UsageError) as raised:
        find("generator", "zzz")
    assert "dcgan, ddpm, progan, sngan, sngan-resnet, tiny, wgan-gp" in raised.value.hint


def test_ganhash_plugins_hides_other_packages_but_not_the_built_ins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "stranger", GOOD)
    monkeypatch.setenv("GANHASH_PLUGINS", "none")
    assert {plugin.package for plugin in plugins("backbone")} == {"ganhash"}


def test_ganhash_plugins_settles_which_of_two_owners_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "stranger", GOOD)
    install(tmp_path, monkeypatch, "another-one", GOOD)
    monkeypatch.setenv("GANHASH_PLUGINS", "x, Another_One")
    assert find("backbone", "odd").package == "another-one"


def test_identify_fills_in_defaults_and_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "stranger", raising("pass"))
    assert identify("backbone", "odd", {}) == identity(width=8)


def test_an_identity_survives_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Identity(**json.loads(json.dumps(identity(width=16).as_json()))) == identity(width=16)


def test_build_hands_over_facts_by_position_and_options_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "stranger", GOOD)
    built = build(identity(width=16), "fact")
    assert (built.facts, built.width) == (("fact",), 16)


def test_an_override_beats_the_stored_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "stranger", GOOD)
    assert build(identity(width=16), width=4).width == 4


def test_a_missing_plugin_says_what_to_install() -> None:
    with pytest.raises(PluginError, match="'gone' is not installed") as raised:
        build(identity("gone", "ganhash-gone"))
    assert raised.value.hint == "pip install ganhash-gone==1.2"


@pytest.mark.parametrize("fault", ["ValueError('width must be even')", "TypeError('width must be even')"])
def test_a_value_that_the_constructor_refuses_is_a_usage_error(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "stranger", raising(f"raise {fault}"))
    with pytest.raises(UsageError, match="backbone 'odd': width must be even"):
        build(identity(width=3))


def test_an_os_error_of_the_constructor_is_an_input_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "stranger", raising("open('/nowhere/weights')"))
    with pytest.raises(InputError, match="No such file or directory: '/nowhere/weights'"):
        build(identity())


def test_an_os_error_of_two_texts_is_a_message_and_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "stranger", raising("raise OSError('no weights', 'use others')"))
    with pytest.raises(InputError) as raised:
        build(identity())
    assert (raised.value.message, raised.value.hint) == ("backbone 'odd': no weights", "use others")


def test_any_other_fault_of_the_constructor_is_the_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "stranger", raising("{}['key']"))
    with pytest.raises(PluginError, match="'odd' of package stranger failed: KeyError: 'key'"):
        build(identity())


@pytest.mark.parametrize("kind", [MemoryError, StorageError])
def test_out_of_memory_and_our_own_errors_pass_unchanged(
    kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from ganhash_cli.errors import StorageError\n" + raising(f"raise {kind.__name__}('full')")
    install(tmp_path, monkeypatch, "stranger", code)
    with pytest.raises(kind, match="full"):
        build(identity())

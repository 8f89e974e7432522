"""Every error has the exit code that is documented, and a message and hint to show."""

import signal

import pytest

from ganhash_cli import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.GanhashError, 1),
        (errors.UsageError, 2),
        (errors.InputError, 4),
        (errors.MismatchError, 5),
        (errors.CorruptError, 6),
        (errors.StorageError, 7),
        (errors.LockedError, 8),
        (errors.PluginError, 9),
        (errors.NothingFound, 10),
    ],
)
def test_an_error_has_its_exit_code(kind: type[errors.GanhashError], code: int) -> None:
    assert kind("what, where").exit_code == code


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interruption_has_the_shells_code_for_its_signal(signum: int, code: int) -> None:
    assert errors.Interrupted(signum).exit_code == code


def test_an_error_keeps_message_and_hint_apart() -> None:
    error = errors.InputError("x.png is missing", hint="name another")
    assert (str(error), error.hint) == ("x.png is missing", "name another")


def test_the_tree_in_the_docstring_names_every_error_with_its_code() -> None:
    drawn = " ".join((errors.__doc__ or "").split())
    kinds = [kind for kind in errors.GanhashError.__subclasses__() if kind is not errors.Interrupted]
    assert all(f"{kind.__name__} {kind.exit_code} " in drawn for kind in kinds)

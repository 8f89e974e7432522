"""Words that a command cannot take → an error that says what is missing, what there is, and what to type instead.

Click's errors, contexts and options are `Any` here, as Typer keeps their classes to itself.
"""

import difflib
import re
import shlex
from collections.abc import Sequence
from typing import Any

from ganhash_cli import settings
from ganhash_cli.errors import UsageError

_NAMED = 3  # of words that are too many
_NEAR = 0.75  # of 1, how alike options are that one is taken for the other
_ALIKE = {"train": {"output": "model", "out": "model"}, "generate": {"output": "out", "model": "out"}}
"""By command, what others call otherwise."""
_WORDS = (
    (r"is not a valid (int|integer)( range)?\.", "is no whole number."),
    (r"is not a valid float( range)?\.", "is no number."),
    (r"is not in the range x>=(\S+)\.$", r"is less than \1."),
    (r"is not in the range (\S+)<=x<=(\S+)\.$", r"is not from \1 to \2."),
)
"""What Click says of numbers, and the same in words."""


def message(error: Any) -> str:
    """Return what an error of Click says, on one line and in words."""
    said: str = error.format_message().partition("\n")[0].removesuffix(" Choose from:")  # the choices stand in the hint
    if guesses := getattr(error, "possibilities", None):
        alike = () if _elsewhere(error) else [each for each in guesses if _near(error.option_name, each)]
        said = str(error.message) + (f" (did you mean {' or '.join(alike)}?)" if alike else "")
    for theirs, ours in _WORDS:
        said = re.sub(theirs, ours, said)
    return said


def hint(error: Any) -> str:
    """Return what to do about an error of Click: what a missing word may be, or else where that is listed."""
    context = getattr(error, "ctx", None)
    if context and hasattr(error, "param_type") and error.param:  # these are of a missing option or argument
        offered = [item.value for item in error.param.shell_complete(context, "") if item.type == "plain"]
        return f"there are {', '.join(offered)}" if offered else str(error.param.help)
    if other := _elsewhere(error):
        return other
    choices = list(getattr(getattr(getattr(error, "param", None), "type", None), "choices", ()))
    given = re.match(r"'(.*)' is not one of ", getattr(error, "message", ""))
    if given and (close := difflib.get_close_matches(given[1], choices, n=1)):
        return f"did you mean {close[0]}?"
    if not context:  # Click does not say which command's option has no value
        return "write a value behind it; the command's `--help` tells which it takes"
    what = "commands" if hasattr(context.command, "commands") else "options"
    return f"`{context.command_path} --help` lists the {what}"


def _near(given: str, option: str) -> bool:
    """Whether somebody who typed one option may have meant the other; Click guesses more freely.

    >>> _near("--epoch", "--epochs"), _near("--bits", "--files")
    (True, False)
    """
    return difflib.SequenceMatcher(None, given.strip("-"), option.strip("-")).ratio() > _NEAR


def _elsewhere(error: Any) -> str:
    """Say what a command calls an option that it does not know, but others do; nothing where it has none."""
    context, flag = getattr(error, "ctx", None), getattr(error, "option_name", "")
    if not context or not flag or not hasattr(error, "possibilities"):
        return ""
    everywhere = [each for every in settings.below(context.find_root()) for each in every.command.params]
    names = {each.name for each in everywhere if flag in each.opts}
    names |= {_ALIKE.get(context.info_name, {}).get(name) for name in names}
    for each in context.command.params:
        if each.opts[0].startswith("-") and (each.name in names or flag[1:] in each.opts):
            return f"`{context.command_path}` calls it {' or '.join(each.opts)}"
        if each.name in names:
            return f"`{context.command_path}` takes it as a word: `{context.command_path} {each.name.upper()}`"
    return ""


def too_many(context: Any) -> UsageError:
    """Return the error of a command that was given more than it takes, with the way to name several folders."""
    path = context.command_path
    images = next((parameter for parameter in context.command.params if parameter.name == "images"), None)
    if images is None:
        more = shlex.join(context.args[:_NAMED])
        return UsageError(f"{path} does not take {more}", hint=f"`{path} --help` lists what it takes")
    return several(path, [str(context.params["images"]), *context.args], stdin="`-`" in images.help)


def several(path: str, given: Sequence[str], *, stdin: bool) -> UsageError:
    """Return the error where the command of this path was given several folders; some read names on `stdin`."""
    shown = ", ".join(given[:_NAMED]) + (f" and {len(given) - _NAMED:,} more" if len(given) > _NAMED else "")
    several = shlex.join(given) if len(given) <= _NAMED else "…"
    listed = f", or give names on stdin, without labels: `find {several} -type f | {path} -`"
    return UsageError(
        f"{path} takes one folder, not {len(given):,}: {shown}",
        hint=f"name a folder that holds all of them{listed if stdin else ''}",
    )

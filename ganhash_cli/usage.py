"""Words that a command cannot take → an error that says what is missing, what there is, and what to type instead.

Click's errors, contexts and options are `Any` here, as Typer keeps their classes to itself.
"""

import shlex
from typing import Any

from ganhash_cli.errors import UsageError

_NAMED = 3  # of words that are too many


def hint(error: Any) -> str:
    """Return what to do about an error of Click: what a missing word may be, or else where that is listed."""
    context = getattr(error, "ctx", None)
    if context and hasattr(error, "param_type") and error.param:  # these are of a missing option or argument
        offered = [item.value for item in error.param.shell_complete(context, "") if item.type == "plain"]
        return f"there are {', '.join(offered)}" if offered else str(error.param.help)
    what = "commands" if hasattr(context and context.command, "commands") else "options"
    return f"`{context.command_path if context else 'ganhash'} --help` lists the {what}"


def too_many(context: Any) -> UsageError:
    """Return the error of a command that was given more than it takes, with the way to name several folders."""
    path = context.command_path
    images = next((parameter for parameter in context.command.params if parameter.name == "images"), None)
    if images is None:
        more = shlex.join(context.args[:_NAMED])
        return UsageError(f"{path} does not take {more}", hint=f"`{path} --help` lists what it takes")
    given = [str(context.params["images"]), *context.args]
    shown = ", ".join(given[:_NAMED]) + (f" and {len(given) - _NAMED:,} more" if len(given) > _NAMED else "")
    several = shlex.join(given) if len(given) <= _NAMED else "…"
    listed = f", or give names on stdin, without labels: `find {several} -type f | {path} -`"
    return UsageError(
        f"{path} takes one folder, not {len(given):,}: {shown}",
        hint=f"name a folder that holds all of them{listed if '`-`' in images.help else ''}",
    )

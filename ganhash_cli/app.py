"""Assembles the verbs; the one place where an error becomes one line and an exit code."""

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperOption

from ganhash_cli import __version__, console, workspace
from ganhash_cli.commands import encode, generate, info, plugins, query, sample, train
from ganhash_cli.errors import GanhashError, Interrupted, StorageError


def _raise_verbosity(_context: Any, _option: Any, count: int) -> None:
    console.verbosity = max(console.verbosity, count)


def _silence(_context: Any, _option: Any, quiet: bool) -> None:
    if quiet:
        console.verbosity = -1


class Verb(TyperCommand):
    """A command that also takes -v and -q, so that they work after the verb as well as before it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        verbose = TyperOption(
            param_decls=["-v", "--verbose"],
            count=True,
            default=0,
            expose_value=False,
            callback=_raise_verbosity,
            help="Say more; -vv shows tracebacks.",
        )
        quiet = TyperOption(
            param_decls=["-q", "--quiet"],
            is_flag=True,
            default=False,
            expose_value=False,
            callback=_silence,
            help="Say nothing but results and errors.",
        )
        self.params += [verbose, quiet]


app = typer.Typer(
    name="ganhash",
    help="Learn short binary codes for images, with GAN fakes as a regulariser, and find similar images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        console.say(f"ganhash {__version__}")
        raise typer.Exit


@app.callback()
def root(
    verbose: Annotated[int, typer.Option("-v", "--verbose", count=True, help="Say more.")] = 0,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but results and errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Set how much is said."""
    console.verbosity = -1 if quiet else verbose
    console.set_up_logging()


app.command(cls=Verb)(generate.generate)
app.command(cls=Verb)(train.train)
app.command(cls=Verb)(encode.encode)
app.command(cls=Verb)(query.query)
app.command(cls=Verb)(sample.sample)
app.command(cls=Verb)(info.info)
app.add_typer(plugins.plugins)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; always ends in `SystemExit` with a documented exit code."""
    try:
        app(
            args=arguments,
            prog_name="ganhash",
            auto_envvar_prefix="GANHASH",
            default_map=workspace.settings(),
        )
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has gone, as `| head` does; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        sys.exit(_explain(error))


def _explain(error: Exception) -> int:
    """Print what went wrong and return the exit code."""
    if console.verbosity >= 2:
        traceback.print_exception(error)
    if isinstance(error, Interrupted):
        console.note(f"{error.message}; {error.hint}")
        return error.exit_code
    if isinstance(error, MemoryError):
        error = StorageError("out of memory", hint="use smaller images, a smaller batch, or more memory")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS):
        error = StorageError(f"cannot write: {error}", hint="make space, then run the same command again")
    if not isinstance(error, GanhashError):
        error = GanhashError(
            f"this is a bug in ganhash: {type(error).__name__}: {error}",
            hint="run it again with -vv and report what it prints",
        )
    console.fail(error)
    return error.exit_code

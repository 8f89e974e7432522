"""Assembles the verbs; the one place where an error becomes one line and an exit code."""

import errno
import functools
import inspect
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Any

import typer

from ganhash_cli import __version__, console, idle, settings, terminal, usage
from ganhash_cli.commands import (
    completion,
    dedup,
    doctor,
    encode,
    evaluate,
    export,
    generate,
    info,
    merge,
    plugins,
    push,
    query,
    report,
    sample,
    serve,
    train,
    verify,
)
from ganhash_cli.console import ProgressName
from ganhash_cli.engine import ranks
from ganhash_cli.errors import GanhashError, InputError, InstallationError, Interrupted, StorageError, UsageError

_OUT_OF_MEMORY = ("can't allocate memory", "out of memory")
"""What torch says on a processor and on a GPU, where numpy raises `MemoryError`."""
_BOXED = 60  # columns in which help has room in boxes

Verbose = Annotated[
    int,
    typer.Option("-v", "--verbose", count=True, metavar="", show_default=False, help="Say more; -vv shows tracebacks."),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but results and errors.")]
ProgressOption = Annotated[
    ProgressName, typer.Option("--progress", help="On stderr: bars or lines for people, or a JSON object a line.")
]


def verb(function: Callable[..., None]) -> Callable[..., None]:
    """Let a command also take -v and -q, which work before the verb too, and --progress."""

    @functools.wraps(function)
    def run(*, context: typer.Context, verbose: int, quiet: bool, progress: ProgressName, **options: Any) -> None:
        _set_verbosity(verbose, quiet)
        console.progress_as = progress
        console.machine = bool(options.get("json"))
        try:
            if context.args:
                raise usage.too_many(context)
            if (wrong := context.find_root().obj) and context.command.name != "doctor":  # which tells of it itself
                raise wrong
            for name, why in settings.meant_for_others(context):
                options[name] = None
                console.warn(why)
            if useless := idle.error(context):
                raise useless
            for variable in settings.unknown(context.find_root(), os.environ):
                console.warn(variable)
            function(**options, **({"context": context} if takes_context else {}))
            sys.stdout.flush()
        except UsageError as error:
            error.message = settings.blamed(context, error.message)
            error.hint = error.hint.replace("ganhash COMMAND", context.command_path)
            raise
        except KeyboardInterrupt as stop:  # of which Typer makes an exit without a word
            raise Interrupted(signal.SIGINT, saved=None) from stop
        except BrokenPipeError:
            # Whoever read our output has gone, as `| head` does; keep Python from complaining at exit. Caught here,
            # since Click would make of it exit 1, which is a bug's.
            console.discard_output()

    shared = {"verbose": (Verbose, 0), "quiet": (Quiet, False), "progress": (ProgressOption, ProgressName.auto)}
    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in shared.items()
    ]
    signature = inspect.signature(function)
    takes_context = "context" in signature.parameters
    if not takes_context:
        extra.append(inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context))
    # Typer reads options from the signature; functions have no such attribute by their type.
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *extra])  # type: ignore[attr-defined]  # of any function
    run.__annotations__ = {**function.__annotations__, **{name: each for name, (each, _) in shared.items()}}
    run.__annotations__["context"] = typer.Context
    return run


def _add(group: typer.Typer, function: Callable[..., None], name: str | None = None) -> None:
    extra = {"allow_extra_args": True}  # which usage.py tells of
    group.command(name, short_help=_short(function), context_settings=extra)(verb(function))


def _short(function: Callable[..., None]) -> str:
    """Return the first sentence of a command's help, for lists of commands; Typer by itself cuts it at 45 letters."""
    paragraph = " ".join((function.__doc__ or "").partition("\n\n")[0].split())
    return f"{paragraph.partition('. ')[0].removesuffix('.')}."


def _set_verbosity(verbose: int, quiet: bool) -> None:
    if quiet:
        console.verbosity = -1
    elif verbose:
        console.verbosity = verbose


app = typer.Typer(
    name="ganhash",
    no_args_is_help=True,
    epilog="Every option can also be set in the environment, as GANHASH_QUERY_K=5, or in ganhash.toml.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        console.say(f"ganhash {__version__}")
        raise typer.Exit


@app.callback()
def root(
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Learn short binary codes for images, with GAN fakes as a regulariser, and find similar images."""
    console.verbosity = 0
    _set_verbosity(verbose, quiet)
    console.set_up_logging()


for command in (
    generate.generate,
    train.train,
    encode.encode,
    merge.merge,
    query.query,
    push.push,
    export.export,
    serve.serve,
    dedup.dedup,
    evaluate.evaluate,
    report.report,
    sample.sample,
    info.info,
    verify.verify,
    doctor.doctor,
):
    _add(app, command)
_ABOUT_PLUGINS = "List the backbones, generators and indexes, show their options, check them."
plugins_app = typer.Typer(name="plugins", help=_ABOUT_PLUGINS, short_help=_ABOUT_PLUGINS)
_add(plugins_app, plugins.list_plugins, "list")
_add(plugins_app, plugins.show_plugin, "show")
_add(plugins_app, plugins.check_plugin, "check")
app.add_typer(plugins_app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; always ends in `SystemExit` with a documented exit code."""
    # Threads that wait may spin for microseconds only, not for milliseconds, which slows a shared machine to a crawl;
    # read when torch is first imported.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    console.mend_streams()
    completion.mend_words(os.environ)
    if not ranks.speaks():
        console.mute()
    _expect(sys.argv[1:] if arguments is None else arguments)
    try:
        # A shell that completes a line wants no error of a settings file, and its answers do not depend on one.
        command = _command()
        given, wrong = ({}, None) if completion.in_use() else _settings(command)
        code = command.main(
            arguments,
            prog_name="ganhash",
            auto_envvar_prefix=settings.ENVIRONMENT,
            default_map=given,
            obj=wrong,
            standalone_mode=False,  # what is wrong with the words is told like every other error
        )
        sys.exit(code if isinstance(code, int) else 0)
    except KeyboardInterrupt:
        sys.exit(130)
    except SystemExit as ended:
        sys.exit(_unread(ended))
    except Exception as error:
        sys.exit(_explain(error))


def _unread(ended: SystemExit) -> Any:
    """Return the exit code, 0 even where nobody reads our help: Rich makes that a 1."""
    code = 0 if isinstance(ended.__context__, BrokenPipeError) else ended.code
    try:
        sys.stdout.flush()
    except OSError as error:  # what was printed without a verb, as by --version
        console.discard_output()
        return code if isinstance(error, BrokenPipeError) else _explain(error)
    return code


def _expect(arguments: Sequence[str]) -> None:
    """Look whether a program asks, before anything is parsed: what is wrong with the words themselves is JSON too."""
    words = list(arguments)
    options = words[: words.index("--")] if "--" in words else words
    console.machine = "--json" in options
    wants_json = "--progress=json" in options or ("--progress", "json") in pairwise(options)
    console.progress_as = ProgressName.json if wants_json else ProgressName.auto


def _somewhere() -> bool:
    """Whether the current folder is still there."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _command() -> Any:
    """Return the command line as Click has it, with what holds for every option of every verb."""
    command = typer.main.get_command(app)
    root: Any = typer.Context(command, info_name="ganhash", **command.context_settings)
    narrow = terminal.width() < _BOXED
    for each in settings.below(root):
        if narrow:
            each.command.rich_markup_mode = None  # columns in boxes would be cut; Click's own help is not
        for parameter in (*each.command.params, each.command.get_help_option(each)):
            parameter.show_envvar = False  # the rule that gives its name stands below the commands
            parameter.allow_from_autoenv = parameter.callback is None  # else it acts at once, as --version does
    return command


def _settings(command: Any) -> tuple[dict[str, Any], UsageError | None]:
    """Read `ganhash.toml`, or say what is wrong with it: no --help and no `doctor` is refused for that."""
    try:
        return settings.known(settings.read(), command), None
    except UsageError as error:
        return {}, error


def _explain(error: Exception) -> int:
    """Print what went wrong and return the exit code; of several processes one prints it."""
    (console.unmute if ranks.tells() else console.mute)()
    if console.verbosity >= 2:
        traceback.print_exception(error)
    # Click's own errors, told by what they can do: Typer keeps their class to itself.
    if (explain := getattr(error, "format_message", None)) and not isinstance(error, GanhashError):
        context: Any = getattr(error, "ctx", None)
        if not explain():  # the help, which is printed already
            return UsageError.exit_code
        wrong = context and context.find_root().obj  # what is missing may stand in the file that cannot be read
        message = usage.message(error)
        error = wrong or UsageError(settings.blamed(context, message) if context else message, usage.hint(error))
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)
    ):
        error = StorageError("out of memory", hint="use smaller images, a smaller batch, or more memory")
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("ganhash"):
        error = InstallationError(
            f"the package of {error.name} is not installed", hint="`ganhash doctor` says what to do"
        )
    if isinstance(error, FileNotFoundError) and not _somewhere():
        error = InputError("the current folder was removed", hint="go to another one: `cd FOLDER`")
    if isinstance(error, PermissionError):
        hint = "let this user into the folder that holds it, or name another one"
        error = InputError(f"{error.filename} cannot be reached: permission denied", hint=hint)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS):
        error = StorageError(f"cannot write: {error}", hint="make space, then run the same command again")
    if not isinstance(error, GanhashError):
        error = GanhashError(
            f"this is a bug in ganhash: {type(error).__name__}: {error}",
            hint="run it again with -vv and report what it prints",
        )
    error.message = ranks.name() + error.message
    console.fail(error)
    return error.exit_code

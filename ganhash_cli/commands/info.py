"""`ganhash info`: what a fakes folder, a model folder or a codes file is; reads descriptions, loads no torch."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ganhash_cli import console, workspace
from ganhash_cli.commands import options
from ganhash_cli.errors import InputError

_NAMED = 10  # of a list, such as classes; --json has all
_FITTED = "itq"  # the loss that takes no steps, so that epochs say nothing about its model
_MAIN = re.compile(
    r"[^.]*|quality\..*|metrics\.(validation|training)_.*"
    r"|(fakes\.)?(generator\.name|count|quality\.(frechet_distance|precision|recall)|settings\.(steps|minutes))"
    r"|settings\.(size|epochs|loss|seed)"
)
"""The facts that fit on a screen; -v shows all others too."""


def info(
    path: Annotated[
        Path | None,
        typer.Argument(help="fakes/, model/ or codes.h5. Without it: all of them that stand here.", show_default=False),
    ] = None,
    untrusted: options.Untrusted = False,
    json: options.Json = False,
) -> None:
    """Tell what a fakes folder, a model folder or a codes file holds."""
    options.examine(untrusted, path or workspace.CODES)
    found, refused = options.look_at([path] if path else workspace.standing(), _facts)
    for number, facts in enumerate(found):
        if json:
            console.emit(facts)
            continue
        if number:
            console.say("")
        fitted = (facts.get("settings") or {}).get("loss") == _FITTED
        named = [
            (name, value)
            for name, value in _single(facts)
            if console.verbosity > 0 or (_is_main(name, value) and not (fitted and name == "settings.epochs"))
        ]
        console.table(["", ""], [[console.safe(name), console.safe(_text(value))] for name, value in named])
    if found and not json and console.verbosity < 1:
        console.note("-v tells all settings, too")
    options.raise_worst(refused)


def _facts(path: Path) -> dict[str, Any]:
    from ganhash_cli.engine.bundle import DESCRIPTION
    from ganhash_cli.engine.verification import require_finished

    if not path.exists():
        raise InputError(f"{path} does not exist", hint="name a fakes folder, a model folder or a codes file")
    if not path.is_dir():
        return _codes(path)
    if (path / DESCRIPTION).exists():
        return _model(path)
    if (path / "fakes.json").exists():
        return _fakes(path)
    require_finished(path)
    raise InputError(
        f"{path} is neither a model nor a folder of fakes",
        hint="`ganhash train` makes model/, `ganhash generate` makes fakes/",
    )


def _codes(path: Path) -> dict[str, Any]:
    from ganhash_cli.engine.codes import open_codes
    from ganhash_cli.engine.path_records import path_record

    with open_codes(path) as stored:
        header = stored.header
        return {
            "kind": "codes",
            "path": path,
            "images": len(stored),
            "bits": header.bits,
            **path_record(header.root, "root"),
            "labelled": stored.labelled,
            "classes": list(header.class_names),
            "side": header.side,
            "numeric": header.numeric,
            **({"shard": str(header.shard)} if header.shard else {}),
            "trained_on": header.trained_on,
            "fingerprint": header.fingerprint,
            "bytes": stored.file_bytes,
        }


def _model(folder: Path) -> dict[str, Any]:
    from ganhash_cli.engine.bundle import Bundle

    bundle = Bundle.open(folder)
    return {
        "kind": "model",
        "path": folder,
        "bits": bundle.bits,
        "backbone": bundle.backbone.get("name"),
        "side": bundle.side,
        "classes": list(bundle.class_names),
        "trained_on": bundle.source,
        "fingerprint": bundle.fingerprint,
        "metrics": bundle.metrics,
        "fakes": bundle.fakes,
        "settings": bundle.settings,
    }


def _fakes(folder: Path) -> dict[str, Any]:
    from ganhash_cli.engine.files import read_json

    record = read_json(folder / "fakes.json")
    generator = record.get("generator")
    return {
        "kind": "fakes",
        "path": folder,
        "images": record.get("count"),
        "training_images": record.get("training_images"),
        "steps": record.get("steps"),
        "generator": generator.get("name") if isinstance(generator, dict) else generator,
        "classes": record.get("class_names"),
        "quality": record.get("quality"),
        "verdict": _verdict(record.get("quality")),
        "training_digest": record.get("training_digest"),
        "settings": record.get("settings"),
    }


def _verdict(quality: Any) -> str | None:
    """Say what the figures of fakes mean; nothing where a description that nobody has checked holds others."""
    from ganhash_cli.engine import verdict

    try:
        return verdict.of(quality or {}) or None
    except (TypeError, AttributeError):
        return None


def _is_main(name: str, value: Any) -> bool:
    """Whether a fact is one of those that everybody wants to know, and known."""
    return _MAIN.fullmatch(name) is not None and (value is not None or "." not in name)


def _single(facts: dict[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Give each fact by itself, those of a table within another by names such as `settings.seed`."""
    for name, value in facts.items():
        if isinstance(value, dict) and value:
            yield from _single(value, f"{within}{name}.")
        else:
            yield within + name, value


def _text(value: Any) -> str:
    """Write a value for a person: the first names of a list and how many there are, `-` for nothing."""
    if value is None or value == [] or value == {}:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return console.count(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        more = f" and {len(value) - _NAMED:,} more" if len(value) > _NAMED else ""
        return ", ".join(map(_text, value[:_NAMED])) + more
    return str(value)

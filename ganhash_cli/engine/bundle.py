"""model/: a trained hashing network as files that cannot run code: bundle.json, weights.safetensors, hasher.onnx.

Reading a bundle needs no torch. Every file's SHA-256 stands in `bundle.json`, which carries its own.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganhash_cli.engine import bits, decoding, files
from ganhash_cli.errors import CorruptError, InputError

FORMAT = "ganhash-bundle"
SCHEMA = 1
DESCRIPTION = "bundle.json"
WEIGHTS = "weights.safetensors"
ONNX = "hasher.onnx"
TRAINED_ON = "training.sha256"
CHECKPOINTS = "checkpoints"  # there as long as a training is not finished

_AGAIN = "train again: `ganhash train IMAGES --overwrite`, on the images it was trained on"


@dataclass(frozen=True)
class Bundle:
    """A trained model as it stands on disk.

    `side` is the input square in pixels, `source` says what it was trained on, `fingerprint` (SHA-256, hex)
    changes with anything that could change a code. `trained_on` is the SHA-256 of the list of training images,
    None where an earlier ganhash kept none.
    """

    folder: Path
    backbone: dict[str, Any]
    bits: int
    side: int
    class_names: tuple[str, ...]
    source: str
    training_digest: str
    settings: dict[str, Any]
    metrics: dict[str, Any]
    fakes: dict[str, Any] | None
    digests: dict[str, str]
    fingerprint: str
    trained_on: str | None = None

    @property
    def onnx(self) -> Path:
        """The file that turns images into logits."""
        return self.folder / ONNX

    @property
    def mirrored(self) -> bool:
        """Whether an image and its mirror image have one code; an older bundle does not say."""
        return bool(self.settings.get("mirrored", False))

    @property
    def weights(self) -> Path:
        """The file that holds the weights for torch."""
        return self.folder / WEIGHTS

    @property
    def files(self) -> tuple[Path, ...]:
        """The files whose SHA-256 stands in the description."""
        return tuple(self.folder / name for name in self._digests())

    @classmethod
    def open(cls, folder: Path) -> Bundle:
        """Read and check the description of a bundle; its large files are checked by `verified`, when they are read.

        Raises `InputError` where there is none and `CorruptError` where it is damaged.
        """
        path = folder / DESCRIPTION
        with files.read_errors(path):
            there = path.exists()
        if not there:
            if (folder / CHECKPOINTS).is_dir():
                raise InputError(
                    f"{folder} holds a training that is not finished",
                    hint="the `ganhash train` command that began it goes on with it",
                )
            place = "" if folder == Path("model") else f" --model {shlex.quote(os.fspath(folder))}"
            raise InputError(
                f"{folder} {'holds no trained model' if folder.exists() else 'does not exist'}",
                hint=f"make one with `ganhash train FOLDER{place}`, which needs no labels",
            )
        record = files.read_json(path)
        seal = record.pop("sha256", None)
        if record.get("format") != FORMAT:
            raise CorruptError(f"{path} describes no model", hint=_AGAIN)
        if record.get("schema") != SCHEMA:
            raise CorruptError(
                f"{path} has schema {record.get('schema')}; this ganhash reads {SCHEMA}",
                hint="use the ganhash that made it, or train again",
            )
        if seal != files.json_digest(record):
            raise CorruptError(f"{path} is damaged: its checksum is wrong", hint=_AGAIN)
        del record["format"], record["schema"]
        try:
            bundle = cls(folder=folder, **{**record, "class_names": tuple(record["class_names"])})
        except (KeyError, TypeError) as error:
            raise CorruptError(f"{path} is incomplete: {error}", hint=_AGAIN) from error
        if bundle.fingerprint != fingerprint(bundle.digests, bundle.backbone, bundle.bits, bundle.side):
            raise CorruptError(f"{path}: the fingerprint does not fit the model", hint=_AGAIN)
        return bundle

    def verified(self, file: Path) -> bytes:
        """Return the content of `file` of this bundle; `CorruptError` where its SHA-256 is another.

        Raises `InputError` where it cannot be read. It is read once, so that nobody can put another file in its place
        between the check and the use.
        """
        if not file.is_file():
            raise CorruptError(f"{file} is missing", hint=_AGAIN)
        with files.read_errors(file):
            content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() != self._digests()[file.name]:
            raise CorruptError(f"{file} is damaged: its checksum is wrong", hint=_AGAIN)
        return content

    def training_images(self) -> frozenset[str] | None:
        """Return the pixel digests of all images that it or its fakes learned from, None where none were kept."""
        if self.trained_on is None:
            return None
        return frozenset(self.verified(self.folder / TRAINED_ON).decode().split())

    def _digests(self) -> dict[str, str]:
        # Not among `digests`, which decide the fingerprint: what was trained on changes no code.
        return self.digests | ({TRAINED_ON: self.trained_on} if self.trained_on else {})


def write(
    folder: Path,
    *,
    backbone: dict[str, Any],
    bits: int,
    side: int,
    class_names: tuple[str, ...],
    source: str,
    training_digest: str,
    settings: dict[str, Any],
    metrics: dict[str, Any],
    fakes: dict[str, Any] | None,
    trained_on: Iterable[str] = (),
) -> Bundle:
    """Seal the weights and the ONNX file that lie in `folder` with their description, written last.

    `trained_on` are the pixel digests of the training images; they become the list `training.sha256`.
    """
    with files.atomic_write(folder / TRAINED_ON) as stream:
        stream.writelines(f"{digest}\n".encode() for digest in sorted(set(trained_on)))
    digests = {name: files.sha256(folder / name) for name in (WEIGHTS, ONNX)}
    record = {
        "format": FORMAT,
        "schema": SCHEMA,
        "backbone": backbone,
        "bits": bits,
        "side": side,
        "class_names": list(class_names),
        "source": source,
        "training_digest": training_digest,
        "settings": settings,
        "metrics": metrics,
        "fakes": fakes,
        "digests": digests,
        "fingerprint": fingerprint(digests, backbone, bits, side),
        "trained_on": files.sha256(folder / TRAINED_ON),
    }
    files.write_json(folder / DESCRIPTION, {**record, "sha256": files.json_digest(record)})
    return Bundle.open(folder)


def fingerprint(digests: dict[str, str], backbone: dict[str, Any], width: int, side: int) -> str:
    """Return the SHA-256 over everything that decides a code: equal fingerprints, comparable codes."""
    return files.json_digest(
        {
            "digests": digests,
            "backbone": backbone,
            "bits": width,
            "bit_order": bits.BIT_ORDER,
            "sign_rule": bits.SIGN_RULE,
            "decode": decoding.DECODE_VERSION,
            "preprocessing": {"side": side, "fit": "central square, bicubic"},
        }
    )

"""Options that were typed and would do nothing beside the others → an error that says so.

Click's contexts are `Any` here, as Typer keeps their classes to itself.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ganhash_cli.engine.address import is_url
from ganhash_cli.errors import UsageError
from ganhash_cli.settings import typed

Given = Mapping[str, Any]


class _Idle(NamedTuple):
    """Options, by their parameters, that do nothing `where` others are as they are, and `why`.

    With `both`, that is said only where the other option was typed as well.
    """

    parameters: tuple[str, ...]
    where: Callable[[Given], object]
    why: str
    both: str = ""


def _at_url(given: Given) -> bool:
    return is_url(given["index"] or "")


_REMOTE = _Idle(("name", "option"), lambda given: not _at_url(given), "needs an index at a URL, which --index names")
_LOCAL = _Idle(("codes", "untrusted"), _at_url, "needs a codes file, and --index searches elsewhere")
_NUL = "separates names on stdin"
_UNNAMED = _Idle(("nul",), lambda given: given["images"] != "-", _NUL)
_FITTED = _Idle(
    (
        *("epochs", "batch", "augment", "entropy", "entropy_weight", "entropy_on", "fakes", "fakes_as"),
        *("fakes_per_real", "fake_filter", "label_weight", "learning_rate", "weight_decay", "validation", "precision"),
    ),
    lambda given: given["loss"] == "itq",
    "means nothing to --loss itq, which fits at once; --loss contrastive takes steps",
)
_UNJUDGED = _Idle(
    ("validation",),
    lambda given: given["loss"] == "contrastive",
    "holds out images to choose an epoch by their labels, and --loss contrastive learns without: it keeps the last",
)
_MARKED = _Idle(
    ("validation",),
    lambda given: given.get("marked"),
    "is a share to hold out, and the list says which: its rows marked val",
)
_IDLE = {
    "train": (
        _UNNAMED,
        _FITTED,
        _UNJUDGED,
        _MARKED,
        _Idle(
            ("fakes", "fakes_as", "fake_filter", "label_weight"),
            lambda given: given["no_fakes"],
            "says how to use fakes, and --no-fakes to use none",
            "no_fakes",
        ),
        _Idle(
            ("fake_filter", "label_weight"),
            lambda given: given["fakes_as"] == "entropy",
            "is about labelled fakes, and needs --fakes-as labels or both",
        ),
        _Idle(
            ("label_weight",),
            lambda given: not given["label_weight"],
            "of 0 makes nothing of the labelled fakes that --fakes-as asks for",
        ),
        _Idle(
            ("entropy", "entropy_weight", "fakes_per_real"),
            lambda given: given["no_fakes"] and given["entropy_on"] == "fakes" and given["entropy_weight"],
            "is about maximum entropy, which --no-fakes leaves nothing to be computed on",
            "no_fakes",
        ),
        _Idle(
            ("entropy", "entropy_weight"),
            lambda given: given["fakes_as"] == "labels" and given["entropy_on"] == "fakes" and given["entropy_weight"],
            "is about maximum entropy, and --fakes-as labels keeps all fakes for labels",
            "fakes_as",
        ),
        _Idle(
            ("entropy", "entropy_on"),
            lambda given: not given["entropy_weight"],
            "is about maximum entropy, and --entropy-weight 0 turns it off",
            "entropy_weight",
        ),
        _Idle(
            ("fakes",),
            lambda given: given["entropy_on"] != "fakes" and given["fakes_as"] == "entropy",
            "has no use beside --entropy-on, which names something else",
            "entropy_on",
        ),
        _Idle(
            ("fakes", "fakes_per_real"),
            lambda given: not given["entropy_weight"] and given["fakes_as"] == "entropy",
            "has no use beside --entropy-weight 0",
            "entropy_weight",
        ),
    ),
    "query": (
        _REMOTE,
        _LOCAL,
        _Idle(("files",), lambda given: given["json"], "allows no --json", "json"),
        _Idle(("nul",), lambda given: not given["files"] and list(given["images"]) != ["-"], f"{_NUL} and of -f"),
        _Idle(
            ("index",), lambda given: given["index"] == "ivf" and given["rerank"], "ivf allows no --rerank", "rerank"
        ),
        _Idle(
            ("index",),
            lambda given: given["index"] == "ivf" and given["max_distance"] is not None,
            "ivf allows no --max-distance",
            "max_distance",
        ),
    ),
    "evaluate": (_REMOTE, _LOCAL),
    "serve": (_REMOTE, _LOCAL),
    "encode": (_UNNAMED,),
    "generate": (_UNNAMED,),
}


def error(context: Any, **settled: object) -> UsageError | None:
    """Return the error of an option that was typed and would do nothing beside the others; None where there is none.

    `settled` are options whose value follows from the images, and what else these say: whether rows are `marked`.
    """
    given = {**context.params, **settled}
    for each in _IDLE.get(context.command.name, ()):
        for parameter in context.command.params:
            named = parameter.name in each.parameters and typed(context, parameter.name)
            if named and each.where(given) and (not each.both or typed(context, each.both)):
                word = parameter.opts[0]
                word = word if word.startswith("-") else word.upper()
                return UsageError(
                    f"{word} {each.why}", hint="leave one of them out" if each.both else f"leave out {word}"
                )
    return None

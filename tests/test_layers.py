"""The layers of the house: imports run from left to right, and the command line stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ganhash_cli

PACKAGE = Path(ganhash_cli.__file__).parent
FOUNDATIONS = [
    *("progress", "names", "path_records", "wording", "fonts", "differences", "files", "outputs", "board"),
    *("seeds", "limits", "bits", "parallel", "distinct", "children", "scan"),
    *("asymmetric", "depthwise", "devices", "decoding", "decoders"),
    *("shards", "address", "csv_list", "images", "protocols", "sample", "ranks"),
]
ORDER = [
    *FOUNDATIONS,
    *(
        "checkpoint",
        "stability",
        "augment",
        "diffaugment",
        "fakes",
        "rows",
        "sampling",
        "backbones",
        "quality",
        "judge",
        "verdict",
        "grid",
    ),
    *("adversarial", "boundary", "generator", "samples", "gan", "pool"),
    *("ambiguous", "losses", "histograms", "metrics", "model", "bundle", "torch_runtime", "runtime", "exporter"),
    *("epochs", "train_settings", "model_folder", "training_state", "fitting", "itq", "unlabelled", "trainer"),
    *(
        "codes_format",
        "safe_hdf5",
        "chunks",
        "codes",
        "untrusted",
        "codes_stream",
        "remote",
        "remote_copy",
        "verification",
    ),
    *(
        "skipped_lists",
        "draft",
        "segments",
        "takeover",
        "encoder",
        "parts",
        "part_rows",
        "merger",
        "index",
        "ivf",
        "ivf_file",
        "neighbours",
        "pusher",
        "feed",
        "queries",
    ),
    *("choice", "results", "remote_answers", "sheet", "page", "strips", "graphics"),
    *("cover", "inspection", "duplicates", "group_page"),
    *("relevance", "bit_statistics", "overlap", "evaluation", "pr_curve"),
    *("separation", "code_map", "plots", "report", "report_page"),
    *("installation", "machine", "accelerators", "holdings", "problems", "diagnosis"),
]


def imported(path: Path) -> set[str]:
    """Return the engine files a file imports, at any depth of its code."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "ganhash_cli.engine":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ganhash_cli.engine."):
            names.add((node.module or "").split(".")[2])
    return names


def engine_files() -> list[Path]:
    return sorted((PACKAGE / "engine").glob("[!_]*.py"))


def test_every_engine_file_has_its_place_in_the_order():
    assert {path.stem for path in engine_files()} | {"losses"} == set(ORDER)


@pytest.mark.parametrize("path", engine_files(), ids=lambda path: path.stem)
def test_an_engine_file_imports_only_what_stands_to_its_left(path: Path):
    allowed = set(ORDER[: ORDER.index(path.stem)])
    assert imported(path) <= allowed


@pytest.mark.parametrize("path", engine_files(), ids=lambda path: path.stem)
def test_the_engine_knows_neither_commands_nor_console(path: Path):
    assert not {"ganhash_cli.commands", "ganhash_cli.console"} & {
        node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)
    }


def test_the_web_imports_from_left_to_right_too_and_knows_neither_commands_nor_console():
    order = ["refusal", "turns", "uploads", "live", "search", "elsewhere", "openapi", "gate", "journal"]
    order += ["application", "server"]
    files = sorted((PACKAGE / "web").glob("[!_]*.py"))
    assert {path.stem for path in files} == set(order)
    for path in files:
        froms = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        modules = [node.module or "" for node in froms]
        assert not [module for module in modules if module.startswith(("ganhash_cli.commands", "ganhash_cli.console"))]
        ours = {module.split(".")[2] for module in modules if module.startswith("ganhash_cli.web.")}
        assert ours <= set(order[: order.index(path.stem)]), path


def test_the_engine_knows_nothing_of_the_web():
    for path in engine_files():
        froms = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        assert not [node.module for node in froms if (node.module or "").startswith(("ganhash_cli.web", "starlette"))]


def test_every_file_begins_with_what_it_is_for():
    without = [path.name for path in PACKAGE.rglob("*.py") if not ast.get_docstring(ast.parse(path.read_text()))]
    assert without == []


def test_help_imports_nothing_heavy():
    program = (
        "import sys\nfrom ganhash_cli.app import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'torch','numpy','h5py','PIL','timm','torchvision','onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"

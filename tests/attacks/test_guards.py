"""S1: the sources hold no call that runs what it reads."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [path for folder in ("ganhash_cli", "plugins", "examples") for path in (ROOT / folder).rglob("*.py")]
NEVER = {
    *("eval", "exec", "compile", "__import__"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load", "marshal.loads", "shelve.open"),
    *("dill.load", "joblib.load", "yaml.load", "yaml.unsafe_load", "os.system", "os.popen", "torch.jit.load"),
    *("pd.read_pickle", "onnxruntime.SessionOptions.register_custom_ops_library"),
}


def banned(source: str) -> list[str]:
    """Return the calls in a source that run, or may run, what they read."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        bad = name in NEVER or name.endswith("register_custom_ops_library")
        bad |= name == "torch.load" and options.get("weights_only") != "True"
        bad |= name.endswith((".load", "memmap")) and options.get("allow_pickle", "False") != "False"
        bad |= options.get("shell", "False") != "False"
        if bad:
            found.append(f"line {node.lineno}: {name}")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_runs_what_it_reads(path: Path) -> None:
    assert banned(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "eval(x)",
        "pickle.loads(x)",
        "torch.load(x)",
        "torch.load(x, weights_only=False)",
        "np.load(x, allow_pickle=True)",
        "subprocess.run(x, shell=True)",
        "yaml.load(x)",
        "options.register_custom_ops_library(x)",
    ],
)
def test_each_such_call_is_found(source: str) -> None:
    assert len(banned(source)) == 1


def test_sound_calls_are_not_found() -> None:
    assert banned("torch.load(x, weights_only=True); np.load(x); subprocess.run(x); re.compile(x); model.eval()") == []

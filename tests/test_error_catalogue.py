"""A command line that is wrong ends with an exit code, a name and a hint, and leaves nothing behind: one by one."""

import io
import json
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import pytest
from click import unstyle

import forked
from ganhash_cli.engine import files, images
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.codes import open_codes
from ganhash_cli.engine.encoder import encode
from ganhash_cli.engine.images import Collection
from ganhash_cli.engine.progress import finish
from ganhash_cli.engine.shards import Shard
from linear_hash import LinearHash, write_bundle
from pictures import COLOURS, paint, paint_classes
from serving import encode_again
from stranger import install
from test_docs import DOCS, commands
from test_encode_command import Printed, run

SMALL = "-b smallconv -B width=8 --bits 12 --epochs 1 --size 32"
TINY = "-g tiny --steps 2 --batch 4 --features smallconv"
NO_SERVER = "postgresql://127.0.0.1:1/nowhere"


@dataclass(frozen=True)
class Wrong:
    """A command line that is wrong, its exit code, what the message names, and a package that is not there."""

    words: str
    exit: int
    names: str
    without: str = ""

    def __str__(self) -> str:
        return self.words + (f" without {self.without}" if self.without else "")


CATALOGUE = [
    Wrong("--nonsense", 2, "--nonsense"),
    # generate
    Wrong("generate empty", 4, "empty"),
    Wrong(f"generate notes.txt {TINY}", 4, "notes.txt"),
    Wrong(f"generate gone.csv {TINY}", 4, "gone.png"),
    Wrong("generate folder -g sngna", 2, "did you mean 'sngan'"),
    Wrong("generate folder -g tiny -G wdth=3", 2, "wdth"),
    Wrong("generate folder -g tiny -G width", 2, "width"),
    Wrong("generate folder -g odd", 9, "odd"),
    Wrong("generate folder --size 12", 2, "--size 12"),
    Wrong("generate folder --steps 0", 2, "--steps 0"),
    Wrong("generate folder --minutes -1", 2, "--minutes -1"),
    Wrong("generate folder --steps 5 --minutes 1", 2, "--minutes"),
    Wrong("generate folder --count 0", 2, "--count 0"),
    Wrong("generate folder --batch 0", 2, "--batch 0"),
    Wrong("generate folder --augment colour", 2, "colour"),
    Wrong("generate folder --features nothing", 2, "nothing"),
    Wrong("generate folder --device tpu", 2, "tpu"),
    Wrong(f"generate folder {TINY} --out notes.txt", 2, "notes.txt"),
    Wrong(f"generate folder {TINY} --out folder", 2, "folder"),
    Wrong(f"generate unlabelled {TINY} --boundary", 4, "two classes"),
    Wrong(f"generate folder {TINY} --consistency 10 --augment none", 2, "--augment none"),
    Wrong("generate folder -g ddpm --steps 2 --features smallconv --consistency 10", 2, "ddpm"),
    Wrong("generate folder -g ddpm --steps 2 --features smallconv --augment color", 2, "--augment"),
    Wrong("generate folder -g sngan -G critic_base=0 --steps 2 --features smallconv", 2, "critic_base=0 is below 1"),
    # train
    Wrong("train gone.csv", 4, "gone.png"),
    Wrong(f"train unlabelled {SMALL} --loss triplet", 4, "unlabelled"),
    Wrong("train wrong.csv", 2, "wrong.csv"),
    Wrong("train folder --bits 0", 2, "--bits 0"),
    Wrong("train folder --epochs 0", 2, "--epochs 0"),
    Wrong("train folder --validation 2", 2, "--validation 2"),
    Wrong("train folder --learning-rate nan", 2, "--learning-rate nan"),
    Wrong("train folder --loss tripplet", 2, "tripplet"),
    Wrong("train folder --loss triplet -L marginn=1", 2, "marginn"),
    Wrong("train folder --loss dsh -L regulariser=-1", 2, "regulariser=-1"),
    Wrong("train folder --weight-decay -1", 2, "--weight-decay -1"),
    Wrong("train folder --fakes-per-real 0", 2, "--fakes-per-real 0"),
    Wrong("train folder --loss itq --epochs 9", 2, "--epochs"),
    Wrong("train folder --no-fakes --fakes-as labels", 2, "--fakes-as"),
    Wrong("train folder --loss itq --precision float32", 2, "--precision"),
    Wrong("train folder --loss contrastive --validation 0.5", 2, "--validation"),
    Wrong(f"train marked.csv {SMALL} --validation 0", 2, "rows marked val"),
    Wrong(f"train alone {SMALL} --loss contrastive --model new", 4, "1 image"),
    Wrong(f"train folder {SMALL} -L semi_hard=true -L margin=0", 2, "semi_hard"),
    Wrong("train folder -b inception_v3 -B pretrained=false --bits 8 --epochs 1 --size 32", 2, "32 pixels"),
    Wrong(f"train folder {SMALL} --model project", 2, "project holds weights.safetensors"),
    Wrong(f"train folder {SMALL} --fakes nowhere", 4, "nowhere"),
    Wrong(f"train folder {SMALL} --fakes fakes", 4, "fakes/ holds no fakes"),
    Wrong(f"train folder {SMALL} --fakes-as labels", 4, "fakes/ holds no fakes"),
    Wrong(f"train folder {SMALL} --fakes cut", 6, "fakes.json"),
    Wrong(f"train folder {SMALL} --model model", 2, "model"),
    Wrong("train folder -b resnet18 -B weights=nowhere.safetensors", 4, "nowhere.safetensors"),
    Wrong("train folder -b resnet18 -B weights=notes.txt", 2, ".safetensors"),
    Wrong("train cut", 4, "cut holds fakes"),
    Wrong("train -", 4, "stdin"),
    # encode
    Wrong("encode folder --model nowhere", 4, "nowhere"),
    Wrong("encode folder --model damaged", 6, "damaged"),
    Wrong("encode folder --shard 5/4", 2, "5/4"),
    Wrong("encode folder --shard 1/2", 2, "codes.h5"),
    Wrong("encode folder -o new.h5 --runtime onnx --precision bfloat16", 2, "bfloat16"),
    Wrong("encode folder -o new.h5 --runtime openvino", 9, "openvino", without="openvino"),
    Wrong("encode folder -o new.h5", 11, "onnxruntime", without="onnxruntime"),
    Wrong("encode folder -o folder", 2, "folder"),
    Wrong("encode folder -o notes.txt", 2, "notes.txt"),
    Wrong("encode folder -o held.h5", 8, "held.h5"),
    Wrong("encode gone.csv -o new.h5", 4, "gone.png"),
    Wrong("encode - -o new.h5", 4, "stdin"),
    # merge
    Wrong("merge codes.h5 -o whole.h5", 2, "codes.h5"),
    Wrong("merge part.h5 -o whole.h5", 4, "missing: 2"),
    Wrong("merge part.h5 part.h5 -o whole.h5", 2, "part.h5"),
    Wrong("merge part.h5 -o part.h5", 2, "part.h5"),
    Wrong("merge part.h5 -o codes.h5", 2, "codes.h5"),
    Wrong("merge cut.h5 -o whole.h5", 6, "cut.h5"),
    Wrong("merge notes.txt -o whole.h5 --untrusted", 4, "notes.txt"),
    # query
    Wrong("query one.png --codes nowhere.h5", 4, "nowhere.h5"),
    Wrong("query one.png --codes cut.h5", 6, "cut.h5"),
    Wrong("query one.png --codes folder", 4, "folder"),
    Wrong("query one.png --codes flipped.h5 --check", 6, "flipped.h5"),
    Wrong("query one.png --model other", 5, "other"),
    Wrong("query one.png -k 0", 2, "-k"),
    Wrong("query one.png --index fast", 2, "fast"),
    Wrong("query one.png --index carrier://pigeon", 2, "carrier"),
    Wrong(f"query one.png --index {NO_SERVER} --rerank", 2, "--rerank"),
    Wrong(f"query one.png --index {NO_SERVER}", 4, "127.0.0.1"),
    Wrong(f"query one.png --index {NO_SERVER}", 9, "psycopg", without="psycopg"),
    Wrong("query one.png --sheet sheet.jpg", 2, "sheet.jpg"),
    Wrong("query one.png --html page.png", 2, "page.png"),
    Wrong("query one.png --html page.html", 2, "page.html"),
    Wrong("query one.png --preview crayons", 2, "crayons"),
    Wrong("query notes.txt", 4, "notes.txt"),
    Wrong("query -", 4, "stdin"),
    # push and export
    Wrong("push", 2, "--to"),
    Wrong("push --to carrier://pigeon", 2, "carrier"),
    Wrong("push --to codes.h5", 2, "codes.h5"),
    Wrong(f"push --to {NO_SERVER}", 4, "127.0.0.1"),
    Wrong(f"push --to {NO_SERVER} -I lissts=3", 2, "lissts"),
    Wrong("push cut.h5 --to postgresql://localhost/nowhere --untrusted", 6, "cut.h5"),
    Wrong("export", 2, "--for"),
    Wrong("export --for solr", 2, "solr"),
    Wrong("export --for vespa --name Upper", 2, "Upper"),
    Wrong("export cut.h5 --for vespa", 6, "cut.h5"),
    Wrong("export --for vespa -o codes.h5", 2, "codes.h5"),
    Wrong("export --for vespa -o folder", 2, "folder"),
    # serve
    Wrong("serve --port 70000", 2, "--port"),
    Wrong("serve --port {port}", 8, "{port}"),
    Wrong("serve --port 0 --model nowhere", 4, "nowhere"),
    Wrong("serve --port 0 --model other", 5, "other"),
    Wrong("serve cut.h5 --port 0", 6, "cut.h5"),
    Wrong("serve --port 0 --index carrier://pigeon", 2, "carrier"),
    # dedup
    Wrong("dedup nowhere", 4, "nowhere"),
    Wrong("dedup cut.h5", 6, "cut.h5"),
    Wrong("dedup codes.h5 --exact --max-distance 1", 2, "--max-distance"),
    Wrong("dedup codes.h5 --html page.png", 2, "page.png"),
    Wrong("dedup codes.h5 --reference nowhere.h5", 4, "nowhere.h5"),
    Wrong("dedup codes.h5 --exact", 10, "9 images"),
    # evaluate and report
    Wrong("evaluate", 2, "--queries"),
    Wrong("evaluate --queries nowhere", 4, "nowhere"),
    Wrong("evaluate --queries queries --plot curve.svg", 2, "curve.svg"),
    Wrong("evaluate --queries queries --codes cut.h5", 6, "cut.h5"),
    Wrong("evaluate --queries unlabelled", 4, "unlabelled"),
    Wrong("evaluate --queries queries --model other", 5, "other"),
    Wrong("evaluate --queries queries -r 0", 2, "-r"),
    Wrong("report --output page.png", 2, "page.png"),
    Wrong("report --codes nowhere.h5", 4, "nowhere.h5"),
    Wrong("report --codes cut.h5", 6, "cut.h5"),
    Wrong("report other --codes codes.h5", 5, "codes.h5"),
    Wrong("report --queries nowhere", 4, "nowhere"),
    # info, verify, sample, plugins, doctor
    Wrong("info empty", 4, "empty"),
    Wrong("info unfinished", 4, "unfinished"),
    Wrong("info damaged", 6, "damaged"),
    Wrong("info notes.txt --untrusted", 4, "notes.txt"),
    Wrong("verify empty", 4, "empty"),
    Wrong("verify notes.txt", 4, "notes.txt"),
    Wrong("sample", 2, "folder"),
    Wrong("sample notes.txt", 2, "notes.txt"),
    Wrong("sample notes.txt/new", 7, "notes.txt"),
    Wrong("plugins show backend tiny", 2, "backend"),
    Wrong("plugins show generator odd", 9, "odd"),
    Wrong("plugins check backbone smalconv", 2, "did you mean 'smallconv'"),
    Wrong("plugins check backbone smallconv -B wdth=3", 2, "wdth"),
    Wrong("plugins check backbone smallconv --url memory://here", 2, "--url"),
    Wrong("plugins check index pgvector", 2, "--url"),
    Wrong("doctor codes.h5", 2, "codes.h5"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with images, lists, models and codes, whole ones and damaged ones, for all cases: none writes there."""
    folder = tmp_path_factory.mktemp("catalogue")
    with chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        paint_classes(Path("folder"), each=3)
        encode_again(write_bundle(Path("model")))
        write_bundle(Path("other"), seed=1)
        paint(Path("one.png"), (250, 120, 250), seed=9)
        paint(Path("queries/red/new.png"), (200, 40, 40), seed=10)
        for number in range(4):
            paint(Path(f"unlabelled/{number}.png"), (9, 9, 9), seed=number)
        paint(Path("alone/0.png"), (9, 9, 9), seed=0)
        for name in ("empty", "unfinished/checkpoints", "page.html", "cut", "project"):
            Path(name).mkdir(parents=True)
        Path("notes.txt").write_text("milk, bread\n")
        Path("project/weights.safetensors").write_text("of another program\n")
        rows = [f"folder/{each}/0{i}.png,{each},{'train' if i else 'val'}" for each in COLOURS for i in range(3)]
        Path("marked.csv").write_text("\n".join(["path,label,split", *rows]))
        Path("gone.csv").write_text("path,label\nfolder/red/gone.png,red\n")
        Path("wrong.csv").write_text("file;class\nfolder/red/00.png;red\n")
        Path("cut/fakes.json").write_text("{")
        whole = Path("codes.h5").read_bytes()
        Path("cut.h5").write_bytes(whole[:-100])
        shutil.copytree("model", "damaged")
        Path("damaged/bundle.json").write_text("{}")
        flipped = bytearray(whole)
        with open_codes(Path("codes.h5")) as stored:
            at = whole.index(stored.codes.tobytes())
        flipped[at] ^= 1
        Path("flipped.h5").write_bytes(flipped)
        finish(encode(Bundle.open(Path("model")), part_of("folder"), Path("part.h5"), runtime=LinearHash()))
        install(folder / "site", patch, "odd-package", "raise RuntimeError('broken')", "generator")
        with files.lock(Path("held.h5")):
            yield folder


def part_of(folder: str) -> Collection:
    return images.shard_of(images.collect(Path(folder)), Shard(1, 2))


@pytest.fixture
def port() -> Iterator[str]:
    """A port of this machine that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield str(listener.getsockname()[1])


@pytest.fixture
def _at(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))


def standing(folder: Path) -> dict[str, str]:
    """Return every file with its digest, and every folder."""
    return {path.relative_to(folder).as_posix(): "" for path in folder.rglob("*")} | forked.contents(folder)


@pytest.mark.usefixtures("_at")
@pytest.mark.parametrize("wrong", CATALOGUE, ids=str)
def test_a_wrong_command_says_what_and_what_next_and_leaves_nothing(
    wrong: Wrong, place: Path, port: str, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    if wrong.without:
        monkeypatch.setitem(sys.modules, wrong.without, None)
    words, name = (text.replace("{port}", port) for text in (wrong.words, wrong.names))
    before = standing(place)
    code, out, said = run(capsys, *words.split())
    assert (code, out) == (wrong.exit, ""), said
    assert name in " ".join(re.sub("[│╭╮╰╯─]", " ", unstyle(said)).split())
    code, out, error = run(capsys, *words.split(), "--json")
    assert (code, out) == (wrong.exit, ""), error
    [told] = [json.loads(line) for line in error.splitlines()[-1:]]
    assert (set(told), set(told["error"])) == ({"schema", "error"}, {"kind", "exit", "message", "hint"})
    assert (told["schema"], told["error"]["exit"]) == (1, wrong.exit)
    assert name in told["error"]["message"]
    assert told["error"]["hint"]
    assert "Traceback" not in said + error
    assert standing(place) == before


def test_every_verb_and_every_exit_code_of_an_error_is_in_the_catalogue() -> None:
    verbs = {name.split()[1] for name, _ in commands() if " " in name}
    assert {each.words.split()[0] for each in CATALOGUE} - {"--nonsense"} == verbs
    listed = re.findall(r"^\| (\d+) \|", (DOCS / "quickstart.md").read_text(), re.MULTILINE)
    assert {each.exit for each in CATALOGUE} == set(map(int, listed)) - {0, 1, 3}

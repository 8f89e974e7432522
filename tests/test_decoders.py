"""A decoder that dies, hangs or takes too much memory costs one file, and the others are decoded as if it were not."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from ganhash_cli.engine import children, decoders, decoding, images
from ganhash_cli.engine.decoders import Decoders
from ganhash_cli.engine.decoding import Undecodable
from ganhash_cli.engine.files import sha256
from ganhash_cli.engine.parallel import Budget
from ganhash_cli.errors import StorageError
from linear_hash import LinearHash
from pictures import paint
from test_encoder import run

SLOW = ("LA", "I;16", "F", "CMYK")
BROKEN = """
import os, signal, sys, time
from ganhash_cli.engine import decoders, decoding
decoders.SECONDS = 1
sound = decoding.square
def square(file, side, room=None, memory=None):
    name = os.path.basename(file) if isinstance(file, bytes) else file.getvalue()
    if name.startswith(b"dies"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if name.startswith(b"hangs"):
        time.sleep(1000)
    if name.startswith(b"spins"):
        while True:
            pass
    if name.startswith(b"large"):
        bytearray(3 << 30)
    if name.startswith(b"bug"):
        raise LookupError("of ours")
    if name.startswith(b"prints"):
        os.write(1, b"noise"); print("more noise", flush=True); os.write(2, b"and here")
    if name.startswith(b"once") and not os.path.exists(file + b".seen"):
        open(file + b".seen", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return sound(file, side, room, memory)
decoding.square = square
decoders.serve()
"""


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "_CHILD", BROKEN)


def painted(folder: Path, *names: str) -> list[bytes]:
    for seed, name in enumerate(names):
        paint(folder / name, (200, 40, 40), seed)
    return [os.fsencode(folder / name) for name in names]


def reasons(results: list[object]) -> dict[int, str]:
    return {place: str(result) for place, result in enumerate(results) if isinstance(result, Undecodable)}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("dies.png", "the decoder crashed on it (SIGSEGV)"),
        ("hangs.png", "cannot be decoded within 30 s"),
        ("spins.png", "cannot be decoded within 30 s"),
        ("large.png", "takes more than 2 GiB of memory to decode"),
    ],
)
def test_one_bad_file_costs_itself_alone(tmp_path: Path, broken: None, name: str, reason: str) -> None:
    """I9: the 63 others of a batch of 64 come as they would alone, and the bad one is marked."""
    names = [f"{number:02}.png" for number in range(64)]
    names[37] = name
    files = painted(tmp_path, *names)
    with Decoders(1) as one:
        results = one.squares(files, 24)
    assert reasons(results) == {37: reason}
    good = [place for place in range(64) if place != 37]
    assert all(np.array_equal(results[place], decoding.square(files[place], 24)) for place in good)


def test_several_bad_files_are_each_found(tmp_path: Path, broken: None) -> None:
    files = painted(tmp_path, "dies0.png", "a.png", "dies1.png", "dies2.png", "b.png", "dies3.png")
    with Decoders(1) as one:
        assert set(reasons(one.squares(files, 24))) == {0, 2, 3, 5}
        assert reasons(one.squares(files[1:2], 24)) == {}


def test_a_file_on_which_a_process_was_killed_by_chance_is_tried_again(tmp_path: Path, broken: None) -> None:
    with Decoders(1) as one:
        assert reasons(one.squares(painted(tmp_path, "once.png"), 24)) == {}


def test_a_bug_of_ours_is_not_taken_for_a_bad_file(tmp_path: Path, broken: None) -> None:
    with Decoders(1) as one, pytest.raises(RuntimeError, match="LookupError: of ours"):
        one.squares(painted(tmp_path, "bug.png"), 24)


def test_what_a_decoder_prints_is_no_answer(tmp_path: Path, broken: None, capfd: pytest.CaptureFixture[str]) -> None:
    with Decoders(1) as one:
        assert reasons(one.squares(painted(tmp_path, "prints.png"), 24)) == {}
    assert capfd.readouterr() == ("", "")


@pytest.mark.timeout(60)
def test_encoding_goes_on_past_a_decoder_that_dies(tmp_path: Path, broken: None) -> None:
    """I10: found = encoded + skipped, with a decoder that dies on some of them."""
    painted(tmp_path / "folder", *(f"{number:02}.png" for number in range(40)), "dies.png", "large.png")
    report = run(tmp_path / "folder", tmp_path / "codes.h5", LinearHash())
    assert (report.found, report.encoded, len(report.skipped)) == (42, 40, 2)
    assert report.skipped[0] == images.Skipped(b"dies.png", "the decoder crashed on it (SIGSEGV)")


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"a\nb\t.png", b'"[red]%s\x1b\\.png', " \u202efdp.png".encode()])
def test_any_name_reaches_the_other_process(tmp_path: Path, name: bytes) -> None:
    file = os.path.join(os.fsencode(tmp_path), name)
    Image.new("RGB", (32, 32), "red").save(os.fsdecode(file))
    with Decoders(1) as one:
        assert reasons(one.squares([file], 24)) == {}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_another_process_gives_the_same_pixels_and_reasons(tmp_path: Path, kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
    sound, cut = tmp_path / "sound", tmp_path / "cut"
    Image.fromarray(pixels).save(sound, kind)
    cut.write_bytes(sound.read_bytes()[:60])
    files = [bytes(sound), bytes(cut), bytes(tmp_path), bytes(tmp_path / "none")]
    with Decoders(1) as one:
        there = one.squares(files, 24)
        digests = one.digests(files)
    here = [decoding.attempt(lambda file=file: decoding.square(file, 24)) for file in files]
    assert np.array_equal(there[0], here[0])
    assert reasons(there) == reasons(here) == reasons(digests)
    assert digests[0] == decoding.picture_digest(files[0])


@pytest.mark.parametrize("size", [(90, 70), (1500, 1000)])
def test_a_content_gives_the_pixels_and_reasons_of_its_file(tmp_path: Path, size: tuple[int, int]) -> None:
    file = tmp_path / "a.png"
    Image.effect_noise(size, 50).save(file)
    enough = 9 * size[0] * size[1]
    with Decoders(1) as one:
        for _ in range(2):  # nothing of the first is left to be read as the next
            assert np.array_equal(one.content(file.read_bytes(), 24, enough), decoding.square(bytes(file), 24))
            assert "a PNG is held whole" in str(one.content(file.read_bytes(), 24, enough - 1))
            assert reasons([one.content(file.read_bytes()[:60], 24, enough)]).keys() == {0}


def test_what_takes_too_long_alone_is_not_tried_again(broken: None) -> None:
    with Decoders(1) as one:
        assert str(one.content(b"spins", 24, 1000)) == "cannot be decoded within 30 s"
        assert len(one._all) == 1 + 1  # and one for what comes next


def test_a_content_on_which_a_process_was_killed_by_chance_is_tried_again(tmp_path: Path, broken: None) -> None:
    content = Path(os.fsdecode(*painted(tmp_path, "a.png"))).read_bytes()
    with Decoders(1) as one:
        assert reasons([one.content(content, 24, 1 << 30)]) == {}
        one._all[0]._child.kill()
        assert reasons([one.content(content, 24, 1 << 30)]) == {}


def test_many_files_come_in_their_order(tmp_path: Path) -> None:
    files = painted(tmp_path, *(f"{number:03}.png" for number in range(70)))
    wanted = [decoding.square(file, 16).tobytes() for file in files]
    assert [square.tobytes() for square in decoders.squares(files, 16)] == wanted


def test_large_pictures_share_the_room_of_all_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Watched(Budget):
        def taking(self, amount: int) -> AbstractContextManager[None]:
            asked.append(amount)
            return super().taking(amount)

    monkeypatch.setattr(decoding, "_large", Watched(3_000_000))
    Image.new("RGB", (1500, 1000)).save(tmp_path / "large.png")
    with Decoders(2) as two:
        assert reasons(two.squares([bytes(tmp_path / "large.png")] * 3, 24)) == {}
    assert asked == [1_500_000] * 3


@pytest.mark.parametrize("mode", ["RGBA", *(pytest.param(mode, marks=pytest.mark.slow) for mode in SLOW)])
def test_the_largest_picture_of_every_kind_fits_in_the_memory_of_a_process(tmp_path: Path, mode: str) -> None:
    """I3: 64 megapixels of the modes that take most memory are decoded within the limit."""
    file = tmp_path / "largest.tif"
    Image.new(mode, (8000, 8000)).save(file, compression="tiff_deflate")
    with Decoders(1) as one:
        assert reasons(one.squares([bytes(file)], 24)) == {}


def test_a_process_that_cannot_start_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "_CHILD", "import sys; sys.exit(3)")
    with Decoders(1) as one, pytest.raises(StorageError, match="cannot start a process that decodes"):
        one.squares(painted(tmp_path, "a.png"), 24)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    with pytest.raises(StorageError, match="No such file"):
        Decoders(1).start(1)


def test_a_process_that_cannot_start_gives_its_place_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    files = painted(tmp_path, "a.png")
    with Decoders(1) as one:
        with monkeypatch.context() as patch:
            patch.setattr(children, "start", refuse)
            for ask in (partial(one.start, 1), partial(one.squares, files, 24)):
                with pytest.raises(StorageError, match="Too many open files"):
                    ask()
                assert one._idle.qsize() == 1  # or the next one would wait for ever
        assert reasons(one.squares(files, 24)) == {}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_processes_end_with_their_parent(tmp_path: Path, how: signal.Signals) -> None:
    program = """
import sys, time
from ganhash_cli.engine.decoders import Decoders
with Decoders(2).start(2) as two:
    print(*(process._child.pid for process in two._all), flush=True)
    time.sleep(100)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as parent:
        children = [int(pid) for pid in parent.stdout.readline().split()]
        assert all(map(alive, children))
        parent.send_signal(how)
        parent.wait(10)
        end = time.monotonic() + 10
        while any(map(alive, children)):
            assert time.monotonic() < end
            time.sleep(0.02)


def asked(program: str, side: int, *files: bytes, rooms: int = 0) -> list[tuple[bytes, bytes]]:
    """Return the messages of a process, up to its end, that is asked for some files and given so many rooms."""
    with children.start(program) as process:
        line = json.dumps([side, None, [file.decode("latin-1") for file in files]]).encode() + b"\n"
        said, _ = process.communicate(line + b"\n" * rooms, timeout=60)
    messages = []
    while said:
        kind, length = decoders._HEAD.unpack(said[: decoders._HEAD.size])
        end = decoders._HEAD.size + length
        messages.append((kind, said[decoders._HEAD.size : end]))
        said = said[end:]
    assert process.returncode == 0
    return messages


def test_a_process_answers_in_order_and_ends_where_nothing_more_is_asked(tmp_path: Path) -> None:
    files = painted(tmp_path, "a.png", "b.png")
    messages = asked(decoders._CHILD, 24, files[0], b"none.png", files[1])
    pixels = [decoding.square(file, 24).tobytes() for file in files]
    assert messages == [(b"h", b""), (b"s", pixels[0]), (b"r", b"missing"), (b"s", pixels[1])]


def test_without_a_side_a_process_answers_by_digests(tmp_path: Path) -> None:
    (file,) = painted(tmp_path, "a.png")
    assert asked(decoders._CHILD, 0, file) == [(b"h", b""), (b"d", decoding.picture_digest(file).encode())]


def test_a_process_asks_for_room_before_a_large_picture(tmp_path: Path) -> None:
    Image.new("RGB", (1500, 1000)).save(tmp_path / "large.png")
    messages = asked(decoders._CHILD, 8, bytes(tmp_path / "large.png"), rooms=1)
    assert [kind for kind, _ in messages] == [b"h", b"l", b"s"]
    assert messages[1][1] == b"1500000"


def test_a_process_tells_a_lack_of_memory_from_a_bug(tmp_path: Path) -> None:
    files = painted(tmp_path, "large.png", "bug.png")
    _, memory, bug = asked(BROKEN, 8, *files)
    assert memory == (b"r", b"takes more than 2 GiB of memory to decode")
    assert (bug[0], bug[1].splitlines()[-1]) == (b"b", b"LookupError: of ours")


def test_a_process_that_was_killed_between_two_questions_is_replaced(tmp_path: Path) -> None:
    files = painted(tmp_path, "a.png")
    with Decoders(1) as one:
        assert reasons(one.squares(files, 24)) == {}
        one._all[0]._child.kill()
        one._all[0]._child.wait()
        assert reasons(one.squares(files, 24)) == {}
        assert len(one._all) == 2


@pytest.mark.filterwarnings("ignore::UserWarning")  # what Pillow thinks of such files
@pytest.mark.parametrize("kind", ["GIF", "TIFF"])
def test_several_frames_that_are_cut_off_anywhere_are_at_most_undecodable(tmp_path: Path, kind: str) -> None:
    """Pillow raises whatever it comes upon where it counts frames: IndexError, TypeError, SyntaxError, struct.error."""
    frames = [Image.effect_noise((6, 6), 50).convert("RGB") for _ in range(2)]
    file = tmp_path / "cut"
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])
    content = file.read_bytes()
    results = []
    for length in range(1, len(content)):
        file.write_bytes(content[:length])
        results.append(decoding.attempt(lambda: decoding.picture_digest(bytes(file))))
    assert any(reason.startswith("cannot be decoded: ") for reason in reasons(results).values())


def test_out_of_memory_on_counting_frames_is_not_taken_for_a_bad_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> int:
        raise MemoryError

    (file,) = painted(tmp_path, "a.gif")
    monkeypatch.setattr(GifImageFile, "n_frames", property(full))
    with pytest.raises(MemoryError):
        decoding.picture_digest(file)


def test_equal_pictures_in_other_files_have_equal_digests(tmp_path: Path) -> None:
    """Where there are several frames all bytes count, since only the first frame is ever decoded."""
    picture, other = Image.new("RGB", (4, 3), "red"), Image.new("RGB", (4, 3), "blue")
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "b.bmp")
    other.save(tmp_path / "c.png")
    Image.new("RGB", (3, 4), "red").save(tmp_path / "d.png")
    picture.save(tmp_path / "e.gif", save_all=True, append_images=[other])
    names = ["a.png", "b.bmp", "c.png", "d.png", "e.gif", "none.png"]
    digests = list(decoders.picture_digests(bytes(tmp_path / name) for name in names))
    assert digests[0] == digests[1]
    assert len({str(digest) for digest in digests}) == 5
    assert digests[4] == sha256(tmp_path / "e.gif")
    assert isinstance(digests[5], Undecodable)

"""The report of the experiment: paired differences, their intervals, and every figure from a line of the results."""

import itertools
import math
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

REPORT = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "cifar10" / "report.py"))
GAIN = {"A": 0.0, "D": 0.01, "G": 0.02, "H": 0.03}


def line(arm: str, seed: int, **changes: Any) -> dict[str, Any]:
    """A line of a run whose mAP is 0.5, a little more with every seed, and what its arm gains."""
    wobble = 0.002 if arm == "H" and seed == 1 else 0.0
    known = {"experiment": "main", "dataset": "cifar10", "backbone": "smallconv", "side": 32, "bits": 48}
    known |= {"images_per_class": 50, "weight": 0.0 if arm == "A" else 0.1, "protocol": "P1", "arm": arm, "seed": seed}
    known |= {"map": 0.5 + seed / 10 + GAIN[arm] + wobble, "map_train": 0.9, "entropy_query": 0.2}
    return known | {"entropy_mixtures": 0.4, "precision": "float32"} | changes


@pytest.fixture
def lines() -> list[dict[str, Any]]:
    runs = itertools.product("ADH", range(3), ("P1", "P1'"), (50, 100))
    return [line(arm, seed, protocol=p, images_per_class=count) for arm, seed, p, count in runs]


def test_an_interval_is_that_of_students_t() -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal(3.0, 2.0, (4000, 5))
    covered = [abs(mean - 3.0) <= half for mean, half in map(REPORT["interval"], draws.tolist())]
    assert 0.94 < np.mean(covered) < 0.96
    assert REPORT["interval"]([4.0]) == (4.0, math.inf)


def test_differences_are_between_runs_of_the_same_seed(lines: list[dict[str, Any]]) -> None:
    mixed = list(reversed([each for each in lines if each["protocol"] == "P1" and each["images_per_class"] == 50]))
    found = sorted(REPORT["paired"](mixed, "H", "A"))
    assert found == pytest.approx([0.03, 0.03, 0.032])
    alone = [each for each in mixed if each["arm"] == "H" or each["seed"] == 2]
    assert REPORT["paired"](alone, "H", "A") == pytest.approx([0.03])


def test_tables_show_each_regime_its_arms_and_whether_fakes_beat_their_rivals(lines: list[dict[str, Any]]) -> None:
    made = REPORT["tables"](lines)
    assert list(made) == ["arms", "rivals", "fakes"]
    assert made["arms"].count("**cifar10, ") == 2
    assert made["arms"].index("50 images") < made["arms"].index("100 images")
    assert (
        "| H fakes both ways, by their scores | 0.1 | 0.631 | **+3.1 ± 0.3** | 0.631 | **+3.1 ± 0.3** | 26.9 |"
        in made["arms"]
    )
    assert "| A nothing |  | 0.600 |  | 0.600 |  | 30.0 | 0.200 |  | 0.400 | 3 |" in made["arms"]
    name = "cifar10, 50 a class, `smallconv` at 32, 48 bits, float32"
    assert f"| {name} | **+3.1 ± 0.3** |  |  |  | **+2.1 ± 0.3** |  |  |  |  |" in made["rivals"]


def test_both_uses_of_fakes_stand_beside_twice_as_many_real_images_and_each_use_alone() -> None:
    lines = [line(arm, seed) for arm in "AGH" for seed in range(3)]
    doubled = [line("A", seed, experiment="batch", map=0.505 + seed / 10) for seed in range(3)]
    made = REPORT["rivals"](REPORT["of"]([*lines, *doubled], "rivals"))
    head, _, row = (each.split(" | ") for each in made.splitlines())
    found = dict(zip(head, row, strict=True))
    assert found["A of twice the batch"] == "**+2.6 ± 0.3**"
    assert found["G"] == "**+1.1 ± 0.3**"
    assert REPORT["of"]([*lines, *doubled], "main") == lines


def test_fakes_that_no_teacher_labelled_stand_beside_those_that_one_did() -> None:
    lines = [line(arm, seed) for arm in "AG" for seed in range(3)]
    assert REPORT["of"](lines, "drawn") == []
    untaught = [line("G", seed, experiment="drawn", remedy="drawn labels", map=0.51 + seed / 10) for seed in range(3)]
    other = line("A", 0, images_per_class=100)
    rows = REPORT["teachers"](REPORT["of"]([*lines, *untaught, other], "drawn")).splitlines()
    assert rows[0] == "| differences, points | G - A | G as drawn - A | G as drawn - G | seeds |"
    name = "cifar10, 50 a class, `smallconv` at 32, 48 bits, float32"
    assert rows[2:] == [f"| {name} | **+2.0 ± 0.0** | **+1.0 ± 0.0** | **-1.0 ± 0.0** | 3 |"]


def test_the_fakes_of_a_regime_are_told_of_once() -> None:
    quality: dict[str, Any] = {
        "frechet_distance": 700.4,
        "precision": 0.8,
        "recall": 0.125,
        "accuracy": 0.3,
        "accuracy_ceiling": 0.5,
    }
    quality |= {"frechet_images": [500, 2000]}
    known = {"fakes": quality, "digests": {"fakes": "1f"}}
    lines = [line(arm, seed, **known) for arm in "DH" for seed in range(2)]
    rows = REPORT["fakes"]([line("A", 0), *lines]).splitlines()[2:]
    assert rows == ["| cifar10, 50 a class | 500 and 2,000 | 700 | 0.80 | 0.12 | 30.0% | 50.0% |"]


def test_runs_in_another_arithmetic_are_another_regime(lines: list[dict[str, Any]]) -> None:
    other = [each | {"precision": "bfloat16", "map": 0.1} for each in lines]
    made = REPORT["tables"]([*lines, *other])
    assert made["arms"].count("**cifar10, 50 images") == made["rivals"].count("| cifar10, 50 a class") == 2
    assert "48 bits, bfloat16**" in made["arms"]
    assert "**+3.1 ± 0.3**" in made["arms"]


def test_lengths_of_codes_stand_in_order_with_every_seed_of_the_main_experiment() -> None:
    lines = [
        line(arm, seed, experiment="bits", bits=bits, images_per_class=500, map=0.4 + bits / 1000 + gain)
        for bits in (64, 12)
        for arm, gain in (("A", 0.0), ("D", -0.01), ("H", 0.02))
        for seed in range(3 if arm == "D" else 4)
    ]
    main = [line(arm, seed, images_per_class=500) for arm in "ADH" for seed in range(5)]
    other = [line("A", 0), line("A", 0, images_per_class=500, dataset="other")]
    other += [line("A", 0, images_per_class=500, precision="bfloat16")]
    rows = REPORT["lengths"](REPORT["of"]([*lines, *main, *other], "bits")).splitlines()
    assert rows[0] == "**cifar10, 500 images a class, `smallconv` at 32 pixels, float32**"
    assert rows[4:] == [
        "| 12 | 0.412 | **-1.0 ± 0.0** | **+2.0 ± 0.0** | **+3.0 ± 0.0** | 3 |",
        "| 48 | 0.700 | **+1.0 ± 0.0** | **+3.0 ± 0.1** | **+2.0 ± 0.1** | 5 |",
        "| 64 | 0.464 | **-1.0 ± 0.0** | **+2.0 ± 0.0** | **+3.0 ± 0.0** | 3 |",
    ]


def test_a_length_of_which_only_the_bare_arm_has_run_yet_has_a_row() -> None:
    rows = REPORT["lengths"]([line("A", 0, bits=12)]).splitlines()
    assert rows[4:] == ["| 12 | 0.500 |  |  |  | 0 |"]


def test_intervals_of_more_seeds_than_the_table_of_quantiles_has_are_not_too_narrow() -> None:
    values = [float(value % 2) for value in range(42)]
    deviation = math.sqrt(0.25 * 42 / 41)
    exact = 2.0195 * deviation / math.sqrt(42)  # Student's t at 97.5 %, 41 degrees of freedom
    assert exact < REPORT["interval"](values)[1] < 1.05 * exact


def test_losses_are_in_the_order_of_what_they_reach_those_without_labels_first() -> None:
    lines = [
        line("A", 0, experiment="losses", loss=loss, map=value, protocol=protocol, settings={"augment": "crop"})
        for loss, value in (("csq", 0.7), ("dpsh", 0.6), ("itq", 0.3))
        for protocol in ("P1", "P1'")
    ]
    rows = REPORT["tables"](lines)["losses"].splitlines()[4:]
    assert [row.split(" | ")[:4] for row in rows] == [
        ["| `itq`", "no", "", "0.300"],
        ["| `dpsh`", "yes", "crop", "0.600"],
        ["| `csq`", "yes", "crop", "0.700"],
    ]


def test_losses_are_compared_on_validation_by_how_they_are_trained() -> None:
    def trained(loss: str, how: str, epochs: int, rate: float, value: float) -> dict[str, Any]:
        options = {"temperature": 0.5} if value == 0.1 else {}
        settings = {"precision": "float32", "augment": how, "epochs": epochs, "loss_options": options}
        settings |= {"backbone": {"options": {"pretrained": True, "frozen": 3 if loss == "itq" else 0}}}
        common = {"experiment": "unlabelled", "protocol": "validation", "learning_rate": rate, "settings": settings}
        return line("A", 0, **common, loss=loss, map=value)

    lines = [
        trained("contrastive", "trivial", 4, 0.006, 0.3),
        trained("contrastive", "crop", 4, 0.006, 0.2),
        trained("contrastive", "crop", 20, 0.006, 0.22),
        trained("contrastive", "crop", 4, 0.01, 0.1),
        trained("itq", "crop", 4, 0.001, 0.25),
    ]
    rows = REPORT["tables"](lines)["unlabelled"].splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == ["| `smallconv` at 32"] * 4 + ["| `smallconv`, `frozen=3` at 32"]
    assert [row.split(" | ")[3:9] for row in rows] == [
        ["`contrastive`", "crop", "4", "0.006", "0.200", "0.900"],
        ["`contrastive`", "crop", "20", "0.006", "0.220", "0.900"],
        ["`contrastive`", "trivial", "4", "0.006", "0.300", "0.900"],
        ["`contrastive`, `temperature=0.5`", "crop", "4", "0.01", "0.100", "0.900"],
        ["`itq`", "", "", "", "0.250", "0.900"],
    ]
    lines[-1]["map_mirrored"] = 0.27
    head, _, *rows = REPORT["tables"](lines)["unlabelled"].splitlines()
    assert [row.split(" | ")[7:10] for row in (head, rows[0], rows[-1])] == [
        ["validation mAP@all", "with `--mirrored`", "training mAP@all"],
        ["0.200", "", "0.900"],
        ["0.250", "0.270", "0.900"],
    ]


def test_arithmetics_are_compared_seed_by_seed() -> None:
    lines = [
        line("A", seed, experiment="precision", protocol="validation", precision=name, map=value + seed)
        for name, value in (("float32", 0.4), ("bfloat16", 0.41))
        for seed in range(3)
    ]
    rows = REPORT["tables"](lines)["precision"].splitlines()[2:]
    assert rows == [
        "| `smallconv` at 32 | 50 | bfloat16 | 1.410 | **+1.0 ± 0.0** | 3 |",
        "| `smallconv` at 32 | 50 | float32 | 1.400 |  | 3 |",
    ]


def test_a_difference_that_may_be_nothing_is_not_bold_nor_one_of_two_seeds() -> None:
    assert REPORT["signed"]([0.01, 0.0101]) == "+1.0 ± 0.1"
    assert REPORT["signed"]([0.01, 0.0101, 0.0102]) == "**+1.0 ± 0.0**"
    assert REPORT["signed"]([0.01, -0.02, 0.03]) == "+0.7 ± 6.3"
    assert REPORT["signed"]([0.02]) == "+2.0"
    assert REPORT["signed"]([]) == ""


def test_the_sweep_of_weights_has_weight_0_once_and_compares_with_it() -> None:
    sweep = [line("A", seed, experiment="lambda", protocol="validation") for seed in range(3)]
    for weight, gain in ((0.1, 0.01), (1.0, -0.1)):
        for seed in range(3):
            value = 0.5 + seed / 10 + gain
            sweep.append(line("D", seed, experiment="lambda", protocol="validation", weight=weight, map=value))
    rows = REPORT["tables"](sweep)["weights"].splitlines()[2:]
    assert rows == [
        "| float32 | A nothing | 0 | 0.600 |  |  | 3 |",
        "| float32 | D entropy on mixtures | 0.1 | 0.610 | **+1.0 ± 0.0** | **+1.0 ± 0.0** | 3 |",
        "| float32 | D entropy on mixtures | 1 | 0.500 | **-10.0 ± 0.0** | **-10.0 ± 0.0** | 3 |",
    ]


def in_both_arithmetics(**common: Any) -> list[dict[str, Any]]:
    """Runs of arms A and D, of which D lies one point above A in each arithmetic."""
    return [
        line(arm, 0, precision=name, map=value + gain, **common)
        for name, value in (("float32", 0.5), ("bfloat16", 0.3))
        for arm, gain in (("A", 0.0), ("D", 0.01))
    ]


def test_a_sweep_that_was_done_again_in_another_arithmetic_is_one_of_its_own(tmp_path: Path) -> None:
    lines = in_both_arithmetics(experiment="lambda", protocol="validation")
    rows = [row for row in REPORT["tables"](lines)["weights"].splitlines() if "D entropy" in row]
    assert [row.split(" | ")[-2] for row in rows] == ["+1.0", "+1.0"]
    REPORT["draw"](lines, tmp_path)


def test_runs_of_an_earlier_version_stand_beside_the_bare_arm_of_their_arithmetic() -> None:
    lines = in_both_arithmetics()
    old = [each | {"experiment": "running-statistics"} for each in lines if each["arm"] == "D"]
    rows = REPORT["earlier"](REPORT["of"]([*lines, *old], "running-statistics")).splitlines()[2:]
    assert [row.split(" | ")[-2] for row in rows] == ["+1.0", "+1.0"]


def test_without_maximum_entropy_labelled_fakes_are_left_of_both_uses() -> None:
    sweep = [line(arm, 0, experiment="lambda", protocol="validation") for arm in "AGH"]
    rows = REPORT["tables"](sweep)["weights"].splitlines()[2:]
    assert rows == [
        "| float32 | A nothing | 0 | 0.500 |  |  | 1 |",
        "| float32 | G fakes as labelled images | 0 | 0.520 |  | +2.0 | 1 |",
        "| float32 | H fakes both ways, by their scores | 0.1 | 0.530 | +1.0 | +3.0 | 1 |",
    ]


def test_remedies_stand_beside_the_bare_arm_of_their_loss() -> None:
    def tried(loss: str, arm: str, remedy: str, gain: float, seed: int, **settings: Any) -> dict[str, Any]:
        known = {"experiment": "remedy", "protocol": "validation", "loss": loss, "remedy": remedy}
        made = line(arm, seed, **known, map=0.5 + seed / 10 + gain)
        return made | {"settings": {"precision": "float32", "augment": "crop", "entropy_warm_up": 0.15, **settings}}

    lines = [
        each
        for seed in range(3)
        for each in (
            tried("csq", "A", "none", 0.0, seed),
            tried("csq", "H", "none", -0.02, seed),
            tried("csq", "H", "late", 0.01, seed, entropy_warm_up=0.6),
            tried("triplet", "A", "none", 0.3, seed),
            tried("triplet", "A", "trivial", 0.4, seed, augment="trivial"),
        )
    ]
    made = REPORT["tables"](lines)["remedies"]
    assert made.count("**cifar10, 50 images a class, ") == 2
    rows = [row for row in made.splitlines() if row.startswith("| `")]
    assert rows == [
        "| `entropy_warm_up=0.6` | H fakes both ways, by their scores | 0.1 | 0.610 | **+1.0 ± 0.0** | 0.900 | 3 |",
        "| `augment=trivial` | A nothing | 0 | 1.000 | **+10.0 ± 0.0** | 0.900 | 3 |",
    ]


def test_plots_are_drawn_and_equal_for_equal_lines(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    sweep = [line("A", 0, experiment="lambda"), line("D", 0, experiment="lambda", weight=1.0)]
    sweep.append(line("A", 0, dataset="another that is not drawn"))
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        REPORT["draw"](lines + sweep, tmp_path / name)
    for plot in ("arms.png", "weights.png"):
        assert np.asarray(Image.open(tmp_path / "first" / plot)).std() > 0
        assert (tmp_path / "first" / plot).read_bytes() == (tmp_path / "second" / plot).read_bytes()

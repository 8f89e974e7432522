"""Many items on all processors: in order, not far ahead, and never more of something than there is."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ganhash_cli.engine import parallel
from ganhash_cli.engine.parallel import Budget, each


@pytest.fixture(autouse=True)
def three_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "threads", lambda: 3)


def test_results_come_in_the_order_of_the_items() -> None:
    def late_if_even(number: int) -> int:
        time.sleep(0.01 * (number % 2 == 0))
        return number

    assert list(each(late_if_even, range(20))) == list(range(20))


def test_items_are_computed_at_once() -> None:
    together = threading.Barrier(3, timeout=5)
    assert list(each(lambda _: together.wait() >= 0, range(3))) == [True] * 3


def test_no_more_items_are_taken_than_are_soon_asked_for() -> None:
    taken = []
    results = each(lambda number: number, (taken.append(number) or number for number in range(100)), ahead=2)
    next(results)
    assert len(taken) == 2 * 3 + 1
    results.close()


def test_what_an_item_raises_is_raised_in_its_turn() -> None:
    results = each(lambda number: 1 / number, [2, 1, 0, 5])
    assert [next(results), next(results)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_who_leaves_early_starts_nothing_more() -> None:
    begun, go = [], threading.Event()

    def wait(number: int) -> int:
        begun.append(number)
        if number:
            go.wait(5)
        return number

    results = each(wait, range(7), ahead=2)
    next(results)
    threading.Timer(0.1, go.set).start()
    results.close()
    assert len(begun) < 7


@pytest.mark.parametrize("amount", [1, 4, 5, 10, 99])
def test_a_budget_is_never_exceeded_and_nobody_waits_for_ever(amount: int) -> None:
    budget, lock, used, most = Budget(10), threading.Lock(), 0, 0

    def use(_: int) -> None:
        nonlocal used, most
        with budget.taking(amount):
            with lock:
                used += min(amount, 10)
                most = max(most, used)
            time.sleep(0.002)
            with lock:
                used -= min(amount, 10)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(use, range(48), timeout=10))
    assert amount <= most <= 10 or (amount > 10 and most == 10)


def test_a_budget_is_given_back_after_an_error() -> None:
    budget = Budget(1)
    with pytest.raises(ValueError, match="bad"), budget.taking(1):
        raise ValueError("bad")
    with budget.taking(1):
        pass

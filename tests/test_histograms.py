"""Counts by distance against counting one by one, and relevance against comparing label by label."""

import tracemalloc

import numpy as np
import pytest

from ganhash_cli.engine.bits import hamming, pack
from ganhash_cli.engine.histograms import of_codes, of_tables
from ganhash_cli.engine.relevance import Relevance

NAMES = ("cat", "dog", "owl")
LABELS = [(0,), (1, 2), (), (2,), (0, 1), (2,), (0, 2)]
QUERIES = [("owl",), ("cat",), ("cat", "dog", "owl"), ("dog",), ("cow",)]


def names(row: int) -> set[str]:
    return {NAMES[label] for label in LABELS[row]}


def relevance() -> Relevance:
    pairs = [(label, row) for row, labels in enumerate(LABELS) for label in labels or (-1,)]
    numbers, rows = np.array(pairs).T
    return Relevance(NAMES, numbers, rows, len(LABELS))


def test_an_item_is_relevant_where_it_shares_a_label() -> None:
    slow = [[row for row in range(len(LABELS)) if names(row) & set(query)] for query in QUERIES]
    assert [rows.tolist() for rows in relevance().rows(QUERIES)] == slow


def test_the_images_of_several_labels_are_found_without_a_sorted_copy_of_all() -> None:
    count = 100_000
    labels = np.random.default_rng(0).integers(0, 3, 2 * count)
    found = Relevance(NAMES, labels, np.repeat(np.arange(count), 2), count)
    tracemalloc.start()
    [rows] = found.rows([NAMES[:2]])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.array_equal(rows, np.flatnonzero((labels.reshape(-1, 2) < 2).any(1)))
    assert most < 1.5 * rows.nbytes


def test_images_without_a_label_are_counted() -> None:
    assert relevance().unlabelled == 1


@pytest.mark.parametrize("bits", [5, 12, 48, 64, 200])
def test_codes_are_counted_by_distance_and_relevance(bits: int) -> None:
    rng = np.random.default_rng(bits)
    queries, database = pack(rng.normal(size=(len(QUERIES), bits))), pack(rng.normal(size=(len(LABELS), bits)))
    found = of_codes(queries, database, bits, relevance().rows(QUERIES))
    distances = hamming(queries, database)
    for query, wanted in enumerate(QUERIES):
        for distance in range(bits + 1):
            rows = [row for row in range(len(LABELS)) if distances[query, row] == distance]
            assert found.items[query, distance] == len(rows)
            assert found.hits[query, distance] == sum(bool(names(row) & set(wanted)) for row in rows)


def test_many_queries_are_counted_in_blocks_like_few() -> None:
    rng = np.random.default_rng(0)
    codes = pack(rng.normal(size=(100, 16)))
    relevant = rng.random((100, 100)) < 0.3
    found = of_codes(codes, codes, 16, (np.flatnonzero(row) for row in relevant))
    whole = of_tables(hamming(codes, codes), relevant)
    length = whole.items.shape[1]
    assert np.array_equal(found.items[:, :length], whole.items)
    assert np.array_equal(found.hits[:, :length], whole.hits)


def test_queries_without_a_relevant_item_can_be_left_out() -> None:
    found = of_tables(np.array([[0, 1], [1, 1]]), np.array([[False, False], [True, False]]))
    assert found.with_relevant().items.tolist() == [[0, 2]]

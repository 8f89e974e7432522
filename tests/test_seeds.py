"""Derived seeds: the same name gives the same seed, another name another one."""

import itertools

from ganhash_cli.engine.seeds import derive


def test_each_seed_and_name_gives_a_seed_of_its_own() -> None:
    uses = itertools.product(range(20), ["generate", "train"], range(20))
    assert len({derive(seed, name, step) for seed, name, step in uses}) == 800


def test_every_seed_fits_a_signed_64_bit_integer() -> None:
    assert all(0 <= derive(seed) < 2**63 for seed in range(1000))


def test_a_seed_never_changes_between_versions() -> None:
    assert derive(0, "train") == 0x1EE13DD167DD3093  # half of the first 8 bytes of SHA-256("0/train")

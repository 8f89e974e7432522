"""An index that keeps the contract, in a dictionary, and for every check one that is broken in just that way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mutants import Mutant

Codes = NDArray[np.uint8]
KEPT: dict[tuple[str, str], dict[str, Any]] = {}
"""What all connections see: collections by URL and name, each with its facts and images by id."""


class Memory:
    """Searches a dictionary, exactly."""

    schemes: Any = ("memory",)
    ordered = True
    exact = True

    def __init__(self, url: str, name: str, *, limit: int = 1000) -> None:
        self.place = (url, name)
        self.limit = limit

    @property
    def kept(self) -> dict[int, tuple[Codes, bytes, tuple[str, ...], str]]:
        if self.place not in KEPT:
            raise OSError("it is gone", "push again")
        return KEPT[self.place]["images"]

    def facts(self) -> dict[str, str] | None:
        return KEPT[self.place]["facts"] if self.place in KEPT else None

    def create(self, bits: int, facts: Mapping[str, str]) -> None:
        if self.place in KEPT:
            raise ValueError("it is there already")
        KEPT[self.place] = {"facts": dict(facts), "images": {}, "bits": bits}

    def add(
        self,
        ids: Sequence[int],
        codes: Codes,
        paths: Sequence[bytes],
        labels: Sequence[tuple[str, ...]],
        digests: Sequence[str],
    ) -> None:
        rows = zip(codes.copy(), paths, labels, digests, strict=True)
        self.kept.update(zip(ids, rows, strict=True))

    def finish(self) -> None: ...

    def digests(self, ids: Sequence[int]) -> list[str | None]:
        return [self.kept[number][3] if number in self.kept else None for number in ids]

    def ids(self, first: int, most: int) -> list[int]:
        return [number for number in sorted(self.kept) if number >= first][:most]

    def images(self, ids: Sequence[int]) -> list[tuple[Codes, bytes, tuple[str, ...]] | None]:
        return [self.kept[number][:3] if number in self.kept else None for number in ids]

    def search(self, code: Codes, k: int, *, exact: bool = False) -> list[tuple[int, int, bytes, tuple[str, ...]]]:
        return self.sorted(code)[:k]

    def within(self, code: Codes, most: int, k: int) -> list[tuple[int, int, bytes, tuple[str, ...]]]:
        return [each for each in self.sorted(code) if each[0] <= most][:k]

    def sorted(self, code: Codes) -> list[tuple[int, int, bytes, tuple[str, ...]]]:
        found = [
            (int(np.bitwise_count(code ^ other).sum()), number, path, labels)
            for number, (other, path, labels, _) in self.kept.items()
        ]
        return sorted(found, key=lambda each: (each[0], each[2]))

    def count(self) -> int:
        return len(self.kept)

    def drop(self) -> None:
        KEPT.pop(self.place, None)

    def close(self) -> None: ...


class Approximate(Memory):
    """Misses every other image, and says so."""

    exact = False

    def search(self, code: Codes, k: int, *, exact: bool = False) -> Any:
        return self.sorted(code)[: k if exact else 2 * k : 1 if exact else 2]


class Unordered(Memory):
    """Gives equals in any order, and says so."""

    ordered = False

    def sorted(self, code: Codes) -> Any:
        return sorted(super().sorted(code), key=lambda each: (each[0], each[1]))


URL = "memory://here"
HEALTHY = [Memory, Approximate, Unordered]
MUTANTS: list[Mutant] = []


def fails(check: str) -> Callable[[type], type]:
    """Enter the class below as a mutant that fails `check`."""

    def enter(broken: type) -> type:
        MUTANTS.append(Mutant("index", check, broken))
        return broken

    return enter


@fails("can_be_opened")
class LacksACount(Memory):
    count = None  # type: ignore[assignment]  # the fault itself

    def __getattribute__(self, name: str) -> Any:
        if name == "count":
            raise AttributeError(name)
        return super().__getattribute__(name)


@fails("options_are_explicit")
class TakesAnyOption(Memory):
    def __init__(self, url: str, name: str, **options: int) -> None:
        super().__init__(url, name, **options)


@fails("option_defaults_have_their_types")
class LimitIsText(Memory):
    def __init__(self, url: str, name: str, *, limit: int = "8") -> None:  # type: ignore[assignment]  # the fault
        super().__init__(url, name)


@fails("option_defaults_are_json")
class LimitIsInfinite(Memory):
    def __init__(self, url: str, name: str, *, limit: float = float("inf")) -> None:
        super().__init__(url, name)


@fails("tells_its_schemes")
class SchemeIsAText(Memory):
    schemes = "memory"


@fails("tells_its_schemes")
class SchemeIsLoud(Memory):
    schemes = ("MEMORY", "memory")


@fails("tells_its_schemes")
class SchemeIsAnother(Memory):
    schemes = ("disk",)


@fails("what_was_not_created_is_not_there")
class LeavesItsFacts(Memory):
    def drop(self) -> None:
        if self.place in KEPT:
            KEPT[self.place] |= {"images": {}, "dropped": True}

    def create(self, bits: int, facts: Mapping[str, str]) -> None:
        if KEPT.get(self.place, {}).get("dropped"):
            del KEPT[self.place]
        super().create(bits, facts)


@fails("what_was_not_created_is_not_there")
class HasFactsOfNothing(Memory):
    def facts(self) -> dict[str, str] | None:
        return super().facts() or {}


@fails("facts_come_back")
class ShortensItsFacts(Memory):
    def create(self, bits: int, facts: Mapping[str, str]) -> None:
        super().create(bits, {name: value[:30] for name, value in facts.items()})


@fails("facts_come_back")
class ForgetsItsFacts(Memory):
    mine: dict[str, str] | None = None

    def create(self, bits: int, facts: Mapping[str, str]) -> None:
        super().create(bits, {})
        self.mine = dict(facts)

    def facts(self) -> dict[str, str] | None:
        return self.mine if super().facts() is not None and self.mine else super().facts()


@fails("create_replaces_nothing")
class CreatesAnew(Memory):
    def create(self, bits: int, facts: Mapping[str, str]) -> None:
        self.drop()
        super().create(bits, facts)


@fails("images_are_counted")
class CountsTwice(Memory):
    def count(self) -> int:
        return 2 * super().count()


@fails("adding_again_replaces")
class KeepsTheOld(Memory):
    def add(self, ids: Sequence[int], codes: Codes, paths: Any, labels: Any, digests: Any) -> None:
        before = dict(self.kept)
        super().add(ids, codes, paths, labels, digests)
        self.kept.update(before)


@fails("digests_come_back")
class TellsDigestsInItsOwnOrder(Memory):
    def digests(self, ids: Sequence[int]) -> list[str | None]:
        return super().digests(sorted(ids))


@fails("digests_come_back")
class LeavesOutWhatIsUnknown(Memory):
    def digests(self, ids: Sequence[int]) -> list[str | None]:
        return [each for each in super().digests(ids) if each]


@fails("images_come_back")
class TellsImagesInItsOwnOrder(Memory):
    def images(self, ids: Sequence[int]) -> Any:
        return super().images(sorted(ids))


@fails("images_come_back")
class LosesTheLastBits(Memory):
    def images(self, ids: Sequence[int]) -> Any:
        return [image and (image[0] & 0xF0, *image[1:]) for image in super().images(ids)]


@fails("ids_are_walked_along")
class LeavesOutTheFirst(Memory):
    def ids(self, first: int, most: int) -> list[int]:
        return super().ids(first + 1, most)


@fails("ids_are_walked_along")
class GivesAnyIds(Memory):
    def ids(self, first: int, most: int) -> list[int]:
        return sorted([number for number in self.kept if number >= first][:most])


@fails("names_come_back")
class PathsAreText(Memory):
    def add(self, ids: Any, codes: Codes, paths: Sequence[bytes], labels: Any, digests: Any) -> None:
        super().add(ids, codes, [path.decode(errors="replace").encode() for path in paths], labels, digests)


@fails("names_come_back")
class LabelsAreASet(Memory):
    def add(self, ids: Any, codes: Codes, paths: Any, labels: Sequence[tuple[str, ...]], digests: Any) -> None:
        super().add(ids, codes, paths, [tuple(sorted(each)[:2]) for each in labels], digests)


@fails("large_ids_are_kept")
class IdsAreFloats(Memory):
    def add(self, ids: Sequence[int], codes: Codes, paths: Any, labels: Any, digests: Any) -> None:
        super().add([min(number, 2**62) for number in ids], codes, paths, labels, digests)


@fails("distances_are_hammings")
class DistancesAreFloats(Memory):
    def sorted(self, code: Codes) -> Any:
        return [(float(distance), *rest) for distance, *rest in super().sorted(code)]


@fails("search_finds_the_nearest")
class MissesTheNearest(Memory):
    def search(self, code: Codes, k: int, *, exact: bool = False) -> Any:
        return self.sorted(code)[1 : k + 1] if k == 3 else super().search(code, k, exact=exact)


@fails("ties_go_by_path")
class TiesGoByIdUnsaid(Unordered):
    ordered = True


@fails("within_finds_all")
class LeavesOutTheLimit(Memory):
    def within(self, code: Codes, most: int, k: int) -> Any:
        return [each for each in self.sorted(code) if each[0] < most][:k]


@fails("any_length_of_code_is_taken")
class TakesWholeBytes(Memory):
    def create(self, bits: int, facts: Mapping[str, str]) -> None:
        super().create(bits, facts)
        KEPT[self.place]["width"] = max(bits // 8, 1)

    def sorted(self, code: Codes) -> Any:
        width = KEPT[self.place]["width"]
        whole = KEPT[self.place]["bits"] == 12
        return (
            super().sorted(code)
            if whole
            else [
                (int(np.bitwise_count(code[:width] ^ self.kept[number][0][:width]).sum()), number, path, labels)
                for _, number, path, labels in super().sorted(code)
            ]
        )


@fails("nothing_is_no_trouble")
class NeedsAnImage(Memory):
    def finish(self) -> None:
        if not self.kept:
            raise OSError("there is nothing to build an index of")


@fails("a_finished_index_takes_more")
class IsFinishedForGood(Memory):
    def finish(self) -> None:
        KEPT[self.place]["finished"] = True

    def add(self, ids: Sequence[int], codes: Codes, paths: Any, labels: Any, digests: Any) -> None:
        if not KEPT[self.place].get("finished"):
            super().add(ids, codes, paths, labels, digests)


@fails("collections_are_apart")
class DropsEverything(Memory):
    def drop(self) -> None:
        for place in [place for place in KEPT if place[0] == self.place[0]]:
            del KEPT[place]


@fails("an_exact_search_is_exact")
class IsApproximateUnsaid(Approximate):
    exact = True


@fails("prints_nothing")
class Prints(Memory):
    def finish(self) -> None:
        print("hello")

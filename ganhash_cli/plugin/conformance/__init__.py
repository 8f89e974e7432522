"""The conformance kit: named checks that a backbone, a generator or an index keeps its contract.

In a test file of the plugin's own package:

    @pytest.mark.parametrize("check", conformance.checks("backbone"), ids=str)
    def test_my_backbone_keeps_the_contract(check):
        check(MyBackbone)

An index is checked at a URL, where collections are made and dropped: `check(MyIndex, url="mine://host")`.

From Python `check("backbone", MyBackbone)` runs them all and returns a report; from the command line
`ganhash plugins check backbone NAME` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ganhash_cli.engine.progress import Progress, Work, finish
from ganhash_cli.errors import UsageError
from ganhash_cli.plugin import registry
from ganhash_cli.plugin.conformance import backbone, conduct, generator, index, surroundings, training
from ganhash_cli.plugin.conformance.collection import IndexSubject
from ganhash_cli.plugin.conformance.outcome import Failed, NotApplicable, Outcome, Report
from ganhash_cli.plugin.conformance.subject import BackboneSubject, GeneratorSubject, Subject
from ganhash_cli.plugin.registry import Kind

__all__ = ["Check", "Failed", "NotApplicable", "Outcome", "Report", "check", "checks", "run"]

_SHARED: tuple[Callable[..., None], ...] = (
    conduct.can_be_built,
    conduct.options_are_explicit,
    conduct.option_defaults_have_their_types,
    conduct.option_defaults_are_json,
    conduct.same_seed_gives_the_same_weights,
    conduct.weights_round_trip,
    conduct.gradients_reach_every_parameter,
    conduct.evaluation_is_deterministic,
    conduct.rows_do_not_depend_on_their_companions,
    conduct.leaves_torchs_settings_alone,
    conduct.leaves_random_states_alone,
    conduct.prints_nothing,
)
_CHECKS: dict[Kind, tuple[type[Subject] | type[IndexSubject], tuple[Callable[..., None], ...]]] = {
    "backbone": (
        BackboneSubject,
        (
            *_SHARED,
            backbone.has_the_contract_attributes,
            backbone.features_have_the_promised_shape,
            backbone.features_are_float32,
            backbone.features_are_finite,
            backbone.features_depend_on_the_image,
            backbone.one_image_is_a_batch,
            backbone.smaller_squares_are_taken,
            backbone.exports_to_onnx,
        ),
    ),
    "generator": (
        GeneratorSubject,
        (
            *_SHARED,
            generator.has_the_contract_attributes,
            generator.images_have_the_promised_shape,
            generator.images_are_float32,
            generator.images_lie_in_range,
            generator.the_noise_decides_the_image,
            generator.the_label_decides_the_image,
            generator.mixtures_of_classes_are_taken,
            generator.works_without_classes,
            generator.makes_any_size,
            generator.grows_to_what_it_begins_as,
            generator.can_be_copied,
            training.objective_is_known,
            training.critic_is_new_each_time,
            training.critic_gives_one_score_an_image,
            training.critic_leads_the_generator,
            training.critic_learns,
            training.training_loss_is_a_finite_scalar,
        ),
    ),
    "index": (
        IndexSubject,
        (
            index.can_be_opened,
            conduct.options_are_explicit,
            conduct.option_defaults_have_their_types,
            conduct.option_defaults_are_json,
            index.tells_its_schemes,
            index.what_was_not_created_is_not_there,
            index.facts_come_back,
            index.create_replaces_nothing,
            index.images_are_counted,
            index.adding_again_replaces,
            index.digests_come_back,
            index.images_come_back,
            index.ids_are_walked_along,
            index.names_come_back,
            index.large_ids_are_kept,
            index.distances_are_hammings,
            index.search_finds_the_nearest,
            index.ties_go_by_path,
            index.within_finds_all,
            index.any_length_of_code_is_taken,
            index.nothing_is_no_trouble,
            index.a_finished_index_takes_more,
            index.collections_are_apart,
            index.an_exact_search_is_exact,
            index.prints_nothing,
        ),
    ),
}


@dataclass(frozen=True)
class Check:
    """One promise of the contract, called with a factory and the values of its options; it raises where it fails."""

    subject: type[Subject] | type[IndexSubject]
    promise: Callable[..., None]

    def __call__(self, factory: Callable[..., Any], /, **options: Any) -> None:
        """Hold a plugin to this promise: `Failed`, or whatever it raises, if broken; `NotApplicable` if moot."""
        with surroundings.kept():
            self.promise(self.subject(factory, options))

    def __str__(self) -> str:
        return self.promise.__name__


def checks(kind: Kind) -> list[Check]:
    """Return the checks of one kind of plugin, in the order they are best read."""
    if kind not in _CHECKS:
        raise UsageError(f"no kind of plugin named {kind!r}", hint=f"it is one of {', '.join(_CHECKS)}")
    subject, promises = _CHECKS[kind]
    return [Check(subject, promise) for promise in promises]


def check(kind: Kind, factory: Callable[..., Any] | str, /, **options: Any) -> Report:
    """Run every check on a factory, or on the installed plugin of that name, and report.

    Raises `UsageError` where no plugin has the name, `PluginError` where it cannot be imported.
    """
    return finish(run(kind, factory, **options))


def run(kind: Kind, factory: Callable[..., Any] | str, /, **options: Any) -> Work[Report]:
    """Do the same step by step."""
    loaded = registry.find(kind, factory).load() if isinstance(factory, str) else factory
    found, outcomes = checks(kind), []
    for number, each in enumerate(found):
        yield Progress("checking", number, len(found))
        outcomes.append(_outcome(each, loaded, options))
    yield Progress("checking", len(found), len(found))
    return Report(tuple(outcomes))


def _outcome(each: Check, factory: Callable[..., Any], options: dict[str, Any]) -> Outcome:
    try:
        each(factory, **options)
    except NotApplicable as reason:
        return Outcome(str(each), "skipped", str(reason))
    except Failed as reason:
        return Outcome(str(each), "failed", str(reason))
    except (KeyboardInterrupt, GeneratorExit, MemoryError):
        raise
    except BaseException as error:  # a stranger's code fails in any way, sys.exit among them
        said = str(error).strip().partition("\n")[0]  # torch's exporter writes pages
        return Outcome(str(each), "failed", f"{type(error).__name__}: {said}")
    return Outcome(str(each), "passed")

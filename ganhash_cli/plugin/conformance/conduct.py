"""The checks that backbones and generators share: options, seeds, weights, gradients, and good conduct."""

from __future__ import annotations

import contextlib
import inspect
import io
import json

import safetensors.torch
import torch
from torch import nn

from ganhash_cli.plugin.conformance import surroundings
from ganhash_cli.plugin.conformance.outcome import NotApplicable, expect
from ganhash_cli.plugin.conformance.subject import Subject, agree
from ganhash_cli.plugin.options import Option, options_of

SEED = 271828  # no plugin seeds torch with it by chance


def options_are_explicit(subject: Subject) -> None:
    """Require keyword-only options of plain types with defaults; what the core decides goes by position."""
    options_of(subject.factory)
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [p.name for p in inspect.signature(subject.factory).parameters.values() if p.kind in by_position]
    wanted = len(subject.facts)
    expect(len(names) == wanted, f"it takes {len(names)} arguments by position ({', '.join(names)}), not {wanted}")


def option_defaults_have_their_types(subject: Subject) -> None:
    """Require of each option a default of the type that its annotation names."""
    for option in _options(subject):
        kinds = {*option.types, int} if float in option.types else {*option.types}
        found = type(option.default)
        expect(found in kinds, f"option {option.name} has the default {option.default!r}, a {found.__name__}")


def option_defaults_are_json(subject: Subject) -> None:
    """Require defaults that can be stored as JSON, which knows no infinity and no NaN."""
    for option in _options(subject):
        try:
            json.dumps(option.default, allow_nan=False)
        except ValueError:
            expect(False, f"option {option.name} has the default {option.default!r}, which JSON cannot hold")


def can_be_built(subject: Subject) -> None:
    """Require that the factory builds a torch module."""
    network = subject.build()
    expect(isinstance(network, nn.Module), f"the factory returned {type(network).__name__}, no torch.nn.Module")


def same_seed_gives_the_same_weights(subject: Subject) -> None:
    """Require that weights are drawn from torch's random state and nothing else, so that a seed decides them."""
    first, second = (subject.network(seed=1).state_dict() for _ in range(2))
    differing = [name for name in first if not torch.equal(first[name], second[name])]
    expect(not differing, f"built twice after torch.manual_seed(1), these differ: {', '.join(differing)}")


def weights_round_trip(subject: Subject) -> None:
    """Require that the state dict, as safetensors, makes another network compute the same."""
    first, second = subject.network(seed=1), subject.network(seed=2)
    saved = safetensors.torch.save({name: value.contiguous() for name, value in first.state_dict().items()})
    second.load_state_dict(safetensors.torch.load(saved))
    inputs = subject.inputs(first)
    alike = agree(subject.run(second, inputs), subject.run(first, inputs))
    expect(alike, "with the weights of another it computes something else: some of them are in no state dict")


def gradients_reach_every_parameter(subject: Subject) -> None:
    """Require that in training mode every parameter that asks for a gradient gets one."""
    network = subject.network()
    asking = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    if not asking:
        raise NotApplicable("no parameter asks for a gradient")
    inputs = subject.inputs(network, rows=4)
    subject.run(network, inputs)
    with torch.enable_grad():
        loss = subject.loss(network.train(), inputs)
    expect(loss.requires_grad, "its output is cut off from its parameters")
    torch.autograd.backward(loss)
    without = [name for name, weight in asking.items() if weight.grad is None]
    expect(not without, f"no gradient reaches {', '.join(without)}")


def evaluation_is_deterministic(subject: Subject) -> None:
    """Require the same output for the same input in evaluation mode; what is random belongs to the core."""
    network = subject.network()
    inputs = subject.inputs(network)
    expect(agree(subject.run_on(network, inputs), subject.run_on(network, inputs)), "two passes gave two results")


def rows_do_not_depend_on_their_companions(subject: Subject) -> None:
    """Require that in evaluation mode a row's result is the same in any batch."""
    network = subject.network()
    inputs, others = subject.inputs(network, seed=0), subject.inputs(network, seed=1)
    mixed = tuple(
        None if row is None or other is None else torch.cat([row[:1], other[1:]])
        for row, other in zip(inputs, others, strict=True)
    )
    alike = agree(subject.run(network, mixed)[:1], subject.run(network, inputs)[:1])
    expect(alike, "the first row's result changed with the other rows of its batch")


def leaves_torchs_settings_alone(subject: Subject) -> None:
    """Require that building and running change no setting: dtype, threads, gradients, determinism."""
    before = surroundings.settings()
    _use(subject)
    after = surroundings.settings()
    changed = [f"{name} from {before[name]} to {after[name]}" for name in before if after[name] != before[name]]
    expect(not changed, f"it changed {', '.join(changed)}")


def leaves_random_states_alone(subject: Subject) -> None:
    """Require that building and running seed no random state, and draw from torch's alone."""
    surroundings.seed_everything(SEED)
    untouched = surroundings.draws()
    surroundings.seed_everything(SEED)
    network = subject.network(SEED)
    subject.run_on(network, subject.inputs(network))
    expect(torch.initial_seed() == SEED, "it seeds torch, which is the core's business")
    drawn = surroundings.draws()
    moved = [name for name in drawn if drawn[name] != untouched[name]]
    expect(not moved, f"it draws from, or seeds, the random state of {' and '.join(moved)}")


def prints_nothing(subject: Subject) -> None:
    """Require silence on stdout, which belongs to results; a plugin speaks through logging."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        _use(subject)
    expect(not printed.getvalue(), f"it printed {printed.getvalue()[:60]!r}")


def _use(subject: Subject) -> None:
    network = subject.network()
    subject.run(network, subject.inputs(network))
    subject.train(network)


def _options(subject: Subject) -> tuple[Option, ...]:
    try:
        return options_of(subject.factory)
    except Exception as error:
        raise NotApplicable(f"its options cannot be read: {error}") from error

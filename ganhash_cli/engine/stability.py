"""Keeps numbers that are none out of weights: looks at losses and gradients before an optimiser moves."""

import math
from collections.abc import Mapping

import torch

from ganhash_cli.errors import UsageError


def require_finite(
    optimiser: torch.optim.Optimizer, losses: Mapping[str, float], run: str, step: int, saved: str
) -> None:
    """Raise `UsageError` where a loss, or the length of the gradient it led to, is no finite number.

    `run` is what diverged, `step` how many steps were taken before, and `saved` what is left of it.
    """
    parameters = [each for group in optimiser.param_groups for each in group["params"]]
    gradients = [each.grad for each in parameters if each.grad is not None]
    figures = {**losses, "gradient": float(torch.nn.utils.get_total_norm(gradients))}
    if not all(map(math.isfinite, figures.values())):
        shown = ", ".join(f"{name} {value:g}" for name, value in figures.items())
        raise UsageError(
            f"{run} diverged at step {step + 1:,}: {shown}",
            hint=f"start anew with --overwrite and a lower --learning-rate; {saved}",
        )

"""TinyConv keeps the contract of a backbone: every check of ganhash's conformance kit."""

import pytest
from ganhash_tinyconv import TinyConv

from ganhash_cli.plugin import conformance


@pytest.mark.parametrize("check", conformance.checks("backbone"), ids=str)
def test_tinyconv_keeps_the_contract(check: conformance.Check) -> None:
    check(TinyConv, width=4)

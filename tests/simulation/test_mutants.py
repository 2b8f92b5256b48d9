"""Every known damage to the protocol is noticed, and a mutant whose text is gone is an error."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.simulation.mutants import MUTANTS, SEEDS_MAX, Damage
from tests.simulation.runs import Server, run_seed
from tests.support.redis_server import ServerMissing

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    try:
        own = Server()
    except ServerMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))
    with own:
        yield own


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_damage_is_noticed(server: Server, name: str) -> None:
    assert any(run_seed(server, seed, mutant=name) is not None for seed in range(SEEDS_MAX)), MUTANTS[name].says


def test_a_mutant_whose_text_is_gone_is_an_error() -> None:
    outdated = Damage("nothing", {"accept": (("a text that accept does not have", ""),)})
    with pytest.raises(LookupError, match=r"accept\.lua has 0 places"):
        outdated.scripts()

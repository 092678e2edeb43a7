"""How much hypothesis tries: little in the suite, more by hand, such as

FANWIRE_FUZZ_EXAMPLES=50000 pytest --timeout 0 tests/hostile/test_fuzz_envelope.py
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

T = TypeVar("T", str, bytes)

EXAMPLES = int(os.environ.get("FANWIRE_FUZZ_EXAMPLES", "0"))

SEEDS = st.integers(0, 2**32 - 1)


def fuzz(examples: int) -> settings:
    """Decorates a test that tries so many examples, if nobody asks for another number."""
    # The rest is said by the profile in tests/conftest.py.
    return settings(max_examples=EXAMPLES or examples, suppress_health_check=list(HealthCheck))


def mutants(data: T, seed: int, pieces: Sequence[T]) -> Iterator[T]:
    """An example, and it again with parts missing, doubled, moved, or replaced by other pieces.

    Making an example takes hypothesis far longer than trying it takes us; with these a minute is a million.
    """
    yield data
    draw = random.Random(seed)
    for _ in range(MUTANTS if len(data) < 10_000 else 1):
        mutant = data
        for _ in range(draw.randint(1, 3)):
            start = draw.randint(0, len(mutant))
            end = min(len(mutant), start + draw.choice((0, 1, 1, 2, 5, 50)))
            at = draw.randint(0, len(mutant))
            part = draw.choice((mutant[start:end], draw.choice(pieces)))
            mutant = mutant[:at] + part + mutant[at + draw.choice((0, 0, len(part), end - start)) :]
        yield mutant


MUTANTS = 20

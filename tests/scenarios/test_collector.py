import gc
from collections.abc import Iterator

import pytest

from shakedown.scenarios.collector import THRESHOLDS, rare_collections


@pytest.fixture
def before() -> Iterator[tuple[int, int, int]]:
    held, own = gc.get_threshold(), (701, 11, 11)
    gc.set_threshold(*own)
    yield own
    gc.set_threshold(*held)


def test_thresholds_hold_inside_and_are_given_back_whatever_happens(before: tuple[int, int, int]) -> None:
    inside = []

    @rare_collections()
    def fail() -> None:
        inside.append(gc.get_threshold())
        raise InterruptedError

    for _ in range(2):  # a decorated function opens a new block at every call
        with pytest.raises(InterruptedError):
            fail()
        assert gc.get_threshold() == before
    assert inside == [THRESHOLDS, THRESHOLDS]

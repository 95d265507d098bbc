import gc

from shakedown.scenarios.collector import THRESHOLDS, rare_collections


def test_thresholds_hold_inside_and_are_given_back_whatever_happens():
    before, inside = gc.get_threshold(), []

    @rare_collections()
    def fail() -> None:
        inside.append(gc.get_threshold())
        raise InterruptedError

    for _ in range(2):  # a decorated function opens a new block at every call
        try:
            fail()
        except InterruptedError:
            assert gc.get_threshold() == before
    assert inside == [THRESHOLDS, THRESHOLDS] != [before, before]

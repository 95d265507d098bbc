"""What a manifest says of the bridge under test."""

from shakedown.acceptance.promises import Bridge, Promises, read_bridge


def test_a_manifest_without_a_bridge_is_of_our_own():
    problems = []
    assert read_bridge({}, problems) == Bridge(promises=Promises())
    assert problems == []


def test_what_is_not_said_is_promised():
    said = {"name": "naive", "promises": {"protocol": "json", "store_and_forward": "none"}}
    bridge = read_bridge({"bridge": said}, [])
    assert (bridge.name, bridge.promises) == ("naive", Promises(protocol="json", store_and_forward="none"))


def test_a_promise_that_nobody_knows_is_a_problem_that_names_it():
    for promises in ({"protocol": "carrier pigeon"}, {"delivery": "always"}):
        problems = []
        read_bridge({"bridge": {"promises": promises}}, problems)
        assert "cannot be understood" in problems[0].what
        assert next(iter(promises)) in problems[0].what

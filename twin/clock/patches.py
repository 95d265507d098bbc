"""What a process believes about time and chance while a virtual run lasts, and its exact restoration.

`time.time`, `datetime.now` and their like are turned by time-machine, which changes them in C, so that references
captured at import follow too. `time.monotonic`, `time.perf_counter`, `time.sleep` and `os.urandom` are replaced in
every loaded module that holds them under any name. The replacements act in the loop's own thread only.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

if "pytest" in sys.modules:
    import time_machine
else:  # it would import pytest for its fixture, wherever that is installed: a tenth of a second for every command
    sys.modules["pytest"] = None  # type: ignore[assignment]
    try:
        import time_machine
    finally:
        del sys.modules["pytest"]

from shakedown.twin.clock.loop import VirtualLoop

_real_urandom = os.urandom

_LIBRARY_COUNTERS = (
    # numbers that a library counts for the whole process and puts on the wire: every run begins at the first
    ("asyncua.server.internal_session", "InternalSession", "_counter", 10),
    ("asyncua.server.internal_session", "InternalSession", "_auth_counter", 1000),
)


@contextmanager
def virtual_world(loop: VirtualLoop, seed: int) -> Iterator[None]:
    """Let clock, chance and threads of this process follow `loop` and `seed` until the block is left."""
    with ExitStack() as stack:
        traveller = stack.enter_context(time_machine.travel(0, tick=False))

        def follow(delta_ns: int) -> None:
            traveller.shift(delta_ns / 1e9)

        _shift_exactly(traveller, loop.now_ns)
        loop.on_jump = follow
        stack.callback(setattr, loop, "on_jump", None)
        stack.enter_context(_captured_functions(_replacements(loop, seed)))
        stack.enter_context(_attribute(threading.Thread, "start", _refuse_thread(threading.get_ident())))
        stack.enter_context(_seeded_random(seed))
        for module, owner, counter, first in _LIBRARY_COUNTERS:
            if module in sys.modules:
                stack.enter_context(_attribute(getattr(sys.modules[module], owner), counter, first))
        yield


def _shift_exactly(traveller: Any, since_epoch_ns: int) -> None:
    """Whole seconds and the rest apart: a float holds each of them to the nanosecond."""
    seconds, rest_ns = divmod(since_epoch_ns, 10**9)
    traveller.shift(float(seconds))
    traveller.shift(rest_ns / 1e9)


def _replacements(loop: VirtualLoop, seed: int) -> dict[Any, Callable[..., Any]]:
    entropy = random.Random(f"{seed}/os.urandom")

    def monotonic() -> float:
        return loop.time()

    def monotonic_ns() -> int:
        return loop.monotonic_ns()

    def sleep(seconds: float, /) -> None:
        loop.sleep_blocking(seconds)

    def urandom(size: int, /) -> bytes:
        # what a module draws while it is imported is not part of the run: only the first run of a process imports
        return _real_urandom(size) if _is_importing() else entropy.randbytes(size)

    return {
        time.monotonic: monotonic,
        time.monotonic_ns: monotonic_ns,
        time.perf_counter: monotonic,
        time.perf_counter_ns: monotonic_ns,
        time.sleep: sleep,
        os.urandom: urandom,
    }


def _is_importing() -> bool:
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


@contextmanager
def _captured_functions(replacements: dict[Any, Callable[..., Any]]) -> Iterator[None]:
    """Replace builtin functions in every module that holds them; afterwards in every module that took ours."""
    owner = threading.get_ident()
    running = True

    def only_here(original: Any, replacement: Callable[..., Any]) -> Callable[..., Any]:
        def function(*args: Any) -> Any:
            if running and threading.get_ident() == owner:
                return replacement(*args)
            return original(*args)

        function.__name__ = function.__qualname__ = original.__name__
        function.__doc__ = original.__doc__
        return function

    pairs = [(original, only_here(original, new)) for original, new in replacements.items()]
    try:
        _swap_in_modules({id(original): (original, ours) for original, ours in pairs})
        yield
    finally:
        running = False
        _swap_in_modules({id(ours): (ours, original) for original, ours in pairs})


def _swap_in_modules(swaps: dict[int, tuple[Any, Any]]) -> None:
    """Replace by `swaps` (id of the old function to old and new one) wherever a module holds the old one.

    Runs may be short and modules are thousands: one without such a name is looked at again when its names have
    become more or fewer.
    """
    for module_name, module in list(sys.modules.items()):
        names = getattr(module, "__dict__", None)
        if not isinstance(names, dict) or _without.get(module_name) == (id(names), len(names)):
            continue
        if module_name == __name__ or module_name == "shakedown.twin.clock.loop":
            continue  # the loop itself paces by the real clock
        if swaps.keys().isdisjoint(map(id, names.values())):
            _without[module_name] = id(names), len(names)
            continue
        for name, value in list(names.items()):
            found = swaps.get(id(value))
            if found is not None and value is found[0]:
                names[name] = found[1]


_without: dict[
    str, tuple[int, int]
] = {}  # modules that held none of the functions: by name, their names as they were


@contextmanager
def _attribute(owner: Any, name: str, value: Any) -> Iterator[None]:
    original = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


def _refuse_thread(owner: int) -> Callable[[threading.Thread], None]:
    original = threading.Thread.start

    def start(self: threading.Thread) -> None:
        if threading.get_ident() != owner:
            return original(self)
        raise RuntimeError(
            f"thread {self.name!r} was started under virtual time, which would run away from it; "
            "remedy: loop.run_in_executor (runs inline here), or the wall clock"
        )

    return start


@contextmanager
def _seeded_random(seed: int) -> Iterator[None]:
    state = random.getstate()
    random.seed(f"{seed}/random")
    try:
        yield
    finally:
        random.setstate(state)

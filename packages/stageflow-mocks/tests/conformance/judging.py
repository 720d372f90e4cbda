"""What judges a suite: it is given an implementation that is known to be broken, and has to say so."""

import pytest
from test_implementations import (
    TestInMemoryCircuitBreaker,
    TestInMemoryIdempotencyStore,
    TestInMemoryRunStore,
    TestLeasedStore,
    TestRecordingEventSink,
    TestTinyLLM,
    TestTinyLogger,
    TestTinyPolicy,
    TestTinySTT,
    TestTinyTTS,
)

SUITES = {
    suite.__name__: suite
    for suite in (
        TestInMemoryCircuitBreaker,
        TestInMemoryIdempotencyStore,
        TestInMemoryRunStore,
        TestLeasedStore,
        TestRecordingEventSink,
        TestTinyLLM,
        TestTinyLogger,
        TestTinyPolicy,
        TestTinySTT,
        TestTinyTTS,
    )
}


def failures(suite_name, make, **attributes):
    """Run all tests of a suite for what `make` makes; return the names of those that fail, with what they say."""
    suite = type("Suite", (SUITES[suite_name],), {"make": lambda self: make(), "simulated": True, **attributes})
    failed = {}
    for test in sorted(name for name in dir(suite) if name.startswith("test_")):
        try:
            getattr(suite(), test)()
        except pytest.skip.Exception:
            continue
        except Exception as error:  # noqa: BLE001 - whatever it fails with
            failed[test.removeprefix("test_")] = "\n".join([repr(error), *getattr(error, "__notes__", ())])
    return failed


class Judged:
    """Implementations that are each broken in one way."""

    def __init__(self):
        self.cases = []

    def breaks(self, suite, given=None, **promises):
        """Mark a class as one that breaks these promises, each with words that the message has to have."""

        def keep(broken):
            self.cases.append(pytest.param(suite, broken, given or {}, promises, id=broken.__name__))
            return broken

        return keep


def check_found(suite, make, given, promises):
    """See to it that the promises are found to be broken, in words that say which."""
    found = failures(suite, make, **given)
    assert set(promises) <= set(found), found
    for promise, words in promises.items():
        assert words in found[promise], found[promise]

"""What is wrong with a test, or its machine, and not with what is tested: no policy for providers tries it again."""

from __future__ import annotations


class ScriptError(AssertionError):
    """A mock cannot answer as it was told to.

    Attributes:
        mock: The name of the mock.
        call: Which of its calls it was, from 1.
        asked: What it was asked, in short.
        scripted: What it was told to answer, in short.
    """

    def __init__(self, mock: str, call: int, asked: str, scripted: str, why: str) -> None:
        super().__init__(mock, call, asked, scripted, why)
        self.mock = mock
        self.call = call
        self.asked = asked
        self.scripted = scripted
        self.why = why

    def __str__(self) -> str:
        return (
            f"Call {self.call} of mock '{self.mock}' {self.why}\n  asked:    {self.asked}\n  scripted: {self.scripted}"
        )


class UnscriptedCallError(ScriptError):
    """A mock was asked what its script has no answer for."""


class FliteError(RuntimeError):
    """The program flite is not there, or does not do what it is to: nothing that a provider would do."""

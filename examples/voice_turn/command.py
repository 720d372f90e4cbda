"""The command: its arguments, and what a turn looks like on a terminal."""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from stageflow import StageflowError, StagePorts

from examples.terminal.writing import Terminal
from examples.voice_turn.loudspeaker import Loudspeaker, wav_file
from examples.voice_turn.model import MockModel, tokens_of
from examples.voice_turn.pipeline import build_turn
from examples.voice_turn.turn import Outcome, Turn
from examples.voice_turn.voice import BYTES_PER_SAMPLE, RATE_HZ, ToneVoice, can_be_said

ANSWER = (
    "Good morning! It is a bright and windy day, so take a coat with you. Your train leaves in twenty minutes. "
    "There is still time for a cup of tea, if you drink it standing."
)


async def take_turn(options: argparse.Namespace, loudspeaker: Loudspeaker, terminal: Terminal) -> int:
    """Take one turn, show it, and return the exit code."""
    model = MockModel()
    turn, stopped = Turn(build_turn(), StagePorts(llm=model, tts=ToneVoice()), loudspeaker), list[signal.Signals]()

    def stop(number: signal.Signals) -> None:
        stopped.append(number)
        turn.interrupt()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    outcome = await turn.take(options.text, interrupt_after=options.interrupt_after)
    show(outcome, options.text, model.unsaid, terminal)
    return 128 + stopped[0] if stopped else 0


def show(outcome: Outcome, text: str, unsaid: Sequence[str], terminal: Terminal) -> None:
    """Say when what happened, and what flowed from stage to stage."""
    terminal.line()
    if outcome.interrupted_ms is not None:
        count = len(tokens_of(text))
        told = "had finished" if not unsaid else f"was closed after {count - len(unsaid)} of its {count} tokens"
        terminal.problem(f"Interrupted after {outcome.interrupted_ms:,.0f} ms: the model {told}.")
    terminal.line()
    if outcome.first_audio_ms is not None:
        terminal.line(f"First audio after     {outcome.first_audio_ms:7,.0f} ms")
    terminal.line(
        f"Model {'closed' if unsaid else 'finished'} after {'  ' if unsaid else ''}{outcome.model_end_ms:7,.0f} ms"
    )
    terminal.results(outcome.results)
    for row in flows(outcome):
        terminal.line(row)
    terminal.line()


def flows(outcome: Outcome) -> Iterator[str]:
    """Yield a table of what each reader of a stream got."""
    yield "  from       to             sent  taken  dropped  most waiting  held up for"
    # What a stage reads is counted in the records. The loudspeaker goes on after the run, and has counted itself.
    inside = (
        (record.name, reader, counted)
        for record in outcome.results.records()
        for reader, counted in record.statistics["stream"]["readers"].items()
        if reader != "run.stream"
    )
    for source, reader, counted in (*inside, ("speech", "loudspeaker", outcome.heard)):
        yield (
            f"  {source:<10} {reader:<12} {counted['sent']:>6} {counted['received']:>6} {counted['dropped']:>8} "
            f"{counted['high_water']:>13} {counted['blocked_ms']:>9,.0f} ms"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    options = _parser().parse_args(arguments)
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
        return 2  # Closed by whoever started the program: there is nobody to show it to.
    sys.stdout.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    if not can_be_said(options.text):
        print("There is nothing to say: the text has no words.", file=sys.stderr)
        return 2
    terminal = Terminal(sys.stdout, os.environ)
    loudspeaker = Loudspeaker(terminal)
    try:
        with wav_file(options.output) as recording:
            try:
                code = asyncio.run(take_turn(options, loudspeaker, terminal))
            finally:
                recording.writeframes(loudspeaker.heard)
        heard_s = len(loudspeaker.heard) / BYTES_PER_SAMPLE / RATE_HZ
        terminal.line(f"{heard_s:.1f} s of sound are in {options.output}")
    except BrokenPipeError:
        # Whoever read the output has gone; what is still buffered must not be flushed into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        print(f"{options.output} cannot be written: {error.strerror or error}.", file=sys.stderr)
        return 2
    except StageflowError as error:
        print(f"The turn failed: {error}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.voice_turn",
        description="One turn of a voice assistant: a stand-in for a model writes, each sentence is spoken (in tones) "
        "as soon as it is complete, and heard while the model is still writing. Ctrl-C interrupts it.",
    )
    parser.add_argument("text", nargs="?", default=ANSWER, help="what the model is to say")
    parser.add_argument(
        "--output", type=Path, default=Path("voice_turn.wav"), metavar="FILE", help="what was heard (%(default)s)"
    )
    parser.add_argument(
        "--interrupt-after", type=_seconds, metavar="SECONDS", help="stop listening so long after the start"
    )
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above zero")
    return seconds

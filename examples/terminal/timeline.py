"""One line for each stage of a run: how it ended, and when it ran, on an axis that all of them share."""

from __future__ import annotations

from dataclasses import dataclass

from stageflow import PipelineResults, StageResult, StageStatus

_COLOURS = {StageStatus.OK: "32", StageStatus.FAIL: "31", StageStatus.CANCEL: "33", StageStatus.SKIP: "2"}
_WORDS = {
    StageStatus.OK: "ok",
    StageStatus.FAIL: "failed",
    StageStatus.CANCEL: "cancelled",
    StageStatus.SKIP: "skipped",
}
_SMALLEST_BAR = 10
_TOOK_WIDTH = len("99,999.9 ms")


@dataclass(frozen=True)
class Style:
    """What the terminal can show."""

    colour: bool
    unicode: bool
    width: int

    def paint(self, text: str, colour: str) -> str:
        """Colour a text (an SGR code), where there are colours."""
        return f"\x1b[{colour}m{text}\x1b[0m" if self.colour and text else text


def timeline(results: PipelineResults, style: Style) -> list[str]:
    """Return the lines, each at most as wide as the terminal."""
    records = [results.record(name) for name in results]
    begun = min((record.started_at for record in records if record.started_at is not None), default=0.0)
    total_ms = max((_end_ms(record, begun) for record in records), default=0.0)
    names = max(len(record.name) for record in records)
    words = max(len(_WORDS[record.output.status]) for record in records)
    # The rest are gaps, the duration, and the last column: some terminals wrap a line that fills it.
    bar_width = style.width - names - words - len("    ") - _TOOK_WIDTH - len("    ") - 1
    lines = [_line(record, begun, total_ms, (names, words, bar_width), style) for record in records]
    if bar_width >= _SMALLEST_BAR and total_ms > 0:
        scale = f"0{f'{total_ms:,.1f} ms'.rjust(bar_width - 1)}"
        lines.append(" " * (names + words + 6) + style.paint(scale, "2"))
    return lines


def _line(record: StageResult, begun: float, total_ms: float, widths: tuple[int, int, int], style: Style) -> str:
    names, words, bar_width = widths
    status = record.output.status
    word = style.paint(_WORDS[status].ljust(words), _COLOURS[status])
    head = f"  {record.name.ljust(names)}  {word}"
    if record.started_at is None:
        room = max(0, style.width - names - words - 7)
        return f"{head}  {style.paint(_why(record)[:room], '2')}".rstrip()
    took = f"{record.duration_ms:,.1f} ms".rjust(_TOOK_WIDTH)
    if bar_width < _SMALLEST_BAR:
        return f"{head}  {took.strip()}"
    start_ms = (record.started_at - begun) * 1000
    drawn = bar(start_ms, record.duration_ms, total_ms, bar_width, "█" if style.unicode else "#")
    return f"{head}  {style.paint(drawn, _COLOURS[status])}  {took}"


def bar(start_ms: float, duration_ms: float, total_ms: float, width: int, block: str) -> str:
    """Return a field of `width` with a bar where the stage ran; the field stands for the whole run."""
    scale = width / total_ms if total_ms > 0 else 0.0
    first = min(round(start_ms * scale), width - 1)
    length = max(1, min(round((start_ms + duration_ms) * scale) - first, width - first))
    return (" " * first + block * length).ljust(width)


def _end_ms(record: StageResult, begun: float) -> float:
    return 0.0 if record.started_at is None else (record.started_at - begun) * 1000 + record.duration_ms


def _why(record: StageResult) -> str:
    return f"because of {record.origin}" if record.output.status is StageStatus.SKIP else str(record.output.reason)

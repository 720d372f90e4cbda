"""Answers of providers that are not what came: cut, or none at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from stageflow.providers import LLMChunk, LLMResponse, STTResponse, ToolCall, TTSResponse

T = TypeVar("T", str, bytes)


def bare(answer: Any) -> Any:
    """Return what an answer or a chunk holds, in place of it: its text or its audio; None if it holds neither."""
    return getattr(answer, "audio", getattr(answer, "text", None))


def cut(answer: Any, keep: float) -> Any:
    """Return an answer cut to this share, and nothing in it that says so; None if there is nothing to cut.

    Of an answer that calls tools the arguments are cut as well, so that they are no JSON any more.
    """
    if isinstance(answer, LLMResponse):
        calls = tuple(ToolCall(call.id, call.name, _cut(call.arguments, keep)) for call in answer.tool_calls)
        changed: Any = replace(answer, text=_cut(answer.text, keep), tool_calls=calls)
    elif isinstance(answer, STTResponse):
        words = answer.words[: int(len(answer.words) * keep)]
        changed = replace(answer, text=_cut(answer.text, keep), words=words)
    elif isinstance(answer, TTSResponse):
        changed = replace(answer, audio=_cut(answer.audio, keep, _bytes_per_frame(answer)))
    else:
        return None
    return None if changed == answer else changed


def ends_answer(chunk: Any) -> bool:
    """Return whether a chunk tells how an answer of a language model ended: one such chunk is all there may be."""
    return isinstance(chunk, LLMChunk) and chunk.finish_reason is not None


def _cut(whole: T, keep: float, unit: int = 1) -> T:
    return whole[: int(len(whole) / unit * keep) * unit]


def _bytes_per_frame(answer: TTSResponse) -> int:
    """Return into what audio is not to be cut: a sample of all channels, where these are plain to see."""
    return 2 * answer.format.channels if answer.format.encoding == "pcm_s16le" else 1

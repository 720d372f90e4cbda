"""A time limit for what is inside of it: the stage, and the interceptors further in."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from stageflow.core.output import StageOutput
from stageflow.errors import StageTimeoutError
from stageflow.interceptors.base import BaseInterceptor, FailStage, InterceptorContext, Proceed
from stageflow.wording import shown


class TimeoutInterceptor(BaseInterceptor):
    """Stops each attempt of each stage after so many seconds, with a StageTimeoutError.

    For one stage, prefer its own `timeout=`. A TimeoutError that the stage raises is the stage's own.

    Raises:
        ValueError: `seconds` is not a number above 0.
    """

    priority = 400

    def __init__(self, seconds: float) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < math.inf:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"TimeoutInterceptor takes a number of seconds above 0, not {shown(seconds)}.")
        self.seconds = seconds

    async def around(self, ctx: InterceptorContext, call: Proceed) -> StageOutput[Any]:
        limit = asyncio.timeout(self.seconds)
        raised: Exception | None = None
        try:
            async with limit:
                try:
                    output = await call()
                except Exception as error:
                    raised = error
                    raise
        except Exception:
            if not limit.expired():
                raise
        else:
            if not limit.expired():
                return output
        # What it returned or raised when it was told to stop is not its outcome; the latter is told as the cause.
        hint = f"Make it faster, or raise the seconds of its {self.name}."
        late = StageTimeoutError(ctx.stage_name, limit=self.name, seconds=self.seconds, hint=hint)
        raise FailStage(late) from raised

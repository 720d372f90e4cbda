"""What watches a run, kept to one stage of it: the others are not there, as far as a test is concerned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stageflow import BaseInterceptor, ErrorAction, EventSink, InterceptorContext, InterceptorResult, StageOutput


def around_stage(stage: str, interceptor: Any) -> Any:
    """Return an interceptor that is the given one around this stage, and nothing around others."""
    hooks = {hook: forward for hook, forward in _FORWARDING.items() if _is_written(interceptor, hook)}
    return type("_AroundOneStage", (_AroundOneStage,), hooks)(stage, interceptor)


def _is_written(interceptor: Any, hook: str) -> bool:
    function = getattr(interceptor, hook, None)
    return function is not None and getattr(function, "__func__", None) is not getattr(BaseInterceptor, hook)


class _AroundOneStage(BaseInterceptor):
    """Has those hooks that its interceptor has, so that the others cost and change nothing, as without it."""

    def __init__(self, stage: str, interceptor: Any) -> None:
        self.stage = stage
        self.inner = interceptor
        self.name = interceptor.name
        self.priority = interceptor.priority
        self.hook_timeout = getattr(interceptor, "hook_timeout", BaseInterceptor.hook_timeout)
        self.only_watches = getattr(interceptor, "only_watches", False)


async def _before(self: _AroundOneStage, ctx: InterceptorContext) -> InterceptorResult | None:
    return await self.inner.before(ctx) if ctx.stage_name == self.stage else None


async def _around(self: _AroundOneStage, ctx: InterceptorContext, call: Any) -> StageOutput[Any]:
    return await (self.inner.around(ctx, call) if ctx.stage_name == self.stage else call())


async def _after(self: _AroundOneStage, ctx: InterceptorContext, output: StageOutput[Any]) -> None:
    return await self.inner.after(ctx, output) if ctx.stage_name == self.stage else None


async def _on_error(self: _AroundOneStage, ctx: InterceptorContext, error: BaseException) -> ErrorAction:
    return await self.inner.on_error(ctx, error) if ctx.stage_name == self.stage else ErrorAction.FAIL


async def _fallback(self: _AroundOneStage, ctx: InterceptorContext, error: BaseException) -> StageOutput[Any]:
    return await self.inner.fallback(ctx, error)


_FORWARDING = {
    "before": _before,
    "around": _around,
    "after": _after,
    "on_error": _on_error,
    "fallback": _fallback,
}


class SinkWithoutFakes:
    """Passes on all events of a run but those of the stages that stand for others.

    Args:
        sink: Where they go.
        fakes: The names of those stages; one of a child that has such a name is another stage.
    """

    def __init__(self, sink: EventSink, fakes: Iterable[str]) -> None:
        self._sink = sink
        self._fakes = frozenset(fakes)

    async def emit(self, *, type: str, data: dict[str, Any] | None) -> bool | None:
        return await self._sink.emit(type=type, data=data)

    def try_emit(self, *, type: str, data: dict[str, Any] | None) -> bool | None:
        if data is not None and data.get("stage") in self._fakes and data.get("parent_run_id") is None:
            return None
        return self._sink.try_emit(type=type, data=data)

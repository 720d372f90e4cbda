"""What the tests of interceptors share: an attempt of a stage without a run around it."""

import asyncio

import pytest
from stageflow import PipelineContext, PipelineTimer, StageInputs, StageKind, StageOutput
from stageflow.core.context import LaterContext, RunScope
from stageflow.core.returning import returned
from stageflow.interceptors.base import BaseInterceptor, InterceptorContext
from stageflow.interceptors.chain import Chain
from stageflow.interceptors.guard import HookScope


class Attempt:
    """One attempt of a stage in a chain; `calls` tells how often the stage ran."""

    def __init__(self, *interceptors, stage=None, run=None, ctx=None, scope=None, name="reply", inputs=None, number=1):
        self.chain = Chain.of(interceptors)
        self.calls = 0
        self.ctx = ctx
        self._stage = stage
        self._run = run or PipelineContext()
        self._scope = scope
        self._name = name
        self._inputs = inputs or {}
        self._number = number

    async def execute(self, _context=None):
        """Run the stage once, as the executor does."""
        self.calls += 1
        if self._stage is None:
            return returned("reply", {"answer": 42})
        return returned("reply", await self._stage())

    async def run(self):
        """Run the attempt, and return its outcome as a StageOutput."""
        if self.ctx is None:
            outputs, declared = list(self._inputs.values()), {name: i for i, name in enumerate(self._inputs)}
            scope = RunScope(self._run, None, PipelineTimer(asyncio.get_running_loop()))
            stage = LaterContext(scope, self._name, StageInputs(outputs, self._name, declared), self._number)
            self.ctx = InterceptorContext.of(stage, StageKind.WORK, self._scope or HookScope("chat", self._run))
        stored = await self.chain.call(self.ctx, self.execute)
        return stored if isinstance(stored, StageOutput) else StageOutput.ok(stored)


@pytest.fixture
def attempt():
    return Attempt


class Recording(BaseInterceptor):
    """Writes down which of its hooks are called."""

    def __init__(self, name, log, *, priority=0):
        self.name = name
        self.priority = priority
        self._log = log

    async def before(self, ctx):
        self._log.append(f"{self.name}.before")

    async def after(self, ctx, output):
        self._log.append(f"{self.name}.after {output.status}")

    async def on_error(self, ctx, error):
        self._log.append(f"{self.name}.on_error {type(error).__name__}")
        return await super().on_error(ctx, error)


@pytest.fixture
def recording():
    return Recording

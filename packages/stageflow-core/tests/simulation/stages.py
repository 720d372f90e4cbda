"""Stages that do what a scenario says, and tell the trace what happens to them."""

import asyncio
from contextvars import ContextVar

from stageflow import RetryPolicy, StageArtifact, StageContext, StageEvent, StageKind, StageOutput, StageStatus, stage
from stageflow.errors import StageTimeoutError

from simulation.scenario import ROUTES, Policy, Script, name_of

MARK = ContextVar("mark", default="the caller's")
"""What stages set and must not see of one another."""

RUN = ContextVar("run")
"""The run that a context belongs to; set by the caller, so conditions find it too."""

STRAGGLE = 3.0
"""A straggler goes on for so many times the grace, and a little longer."""

LATER = 0.75
"""Seconds that those ask for who ask for a wait before the next attempt."""


class OddError(BaseException):
    """Not an Exception."""


class TransientError(Exception):
    """What policies cover."""


class LaterError(TransientError):
    """The same, with a wait."""

    retry_after = LATER


class Actor:
    """One execution of one stage."""

    def __init__(self, script, index, ctx):
        self.script = script
        self.index = index
        self.ctx = ctx
        self.run = ctx.ports
        self.act = script.acts[min(ctx.attempt, len(script.acts)) - 1] if ctx.decision is None else script.decided
        self.by_itself = False

    async def perform(self):
        """Do what the script says; each way out leaves an "end" in the trace, and then a "finally"."""
        self.tell("start", self.what_it_sees())
        try:
            try:
                result = await self.work()
            except asyncio.CancelledError:
                if self.by_itself:
                    raise
                self.tell("cancelled")
                if self.act.when_cancelled == "leave":
                    raise
                result = await self.react()
            finally:
                if self.act.ending == "raise in finally":
                    raise OSError(f"in the finally of {self.index}")
        except BaseException as error:
            self.tell("end", f"raise {type(error).__name__}: {error}".removesuffix(": "))
            raise
        else:
            self.tell("end", f"return {describe_result(result)}")
            return result
        finally:
            self.tell("finally")

    def tell(self, what, detail=""):
        self.run.tell(what, self.index, detail, stopping=self.ctx.cancelled)

    def what_it_sees(self):
        """Return the inputs, and whatever else should not depend on who ran before."""
        ctx = self.ctx
        assert RUN.get() is self.run
        seen = see_inputs(ctx.inputs, self.script)
        left_behind = asyncio.current_task().cancelling()
        return f"{seen} mark={MARK.get()} cancelling={left_behind} attempt={ctx.attempt} decision={ctx.decision}"

    async def work(self):
        if self.script.sets_variable:
            MARK.set(f"stage {self.index}'s")
        for wait in self.act.waits:
            await WAITS[wait.kind](self.ctx, wait.seconds)
            self.tell("goes on")
        return await self.end()

    async def end(self):
        match self.act.ending:
            case "cancel own task":
                self.by_itself = True
                asyncio.current_task().cancel()
                await asyncio.sleep(0)
            case "cancel own task and return":
                asyncio.current_task().cancel()
                return {"said": self.saying}
            case "hang":
                await asyncio.Event().wait()
            case ending if ending.startswith(("raise", "retry")) and ending != "raise in finally":
                return self.fail(ending)
        return self.output()

    def output(self):
        """Return what the stage returns that has nothing to raise."""
        match self.act.ending:
            case "ok" | "raise in finally":
                return self.publishing({"said": self.saying})
            case "value":
                return self.publishing({})
            case "nothing":
                return None
            case "skip":
                return StageOutput.skip(f"{self.index} has nothing to do")
            case "cancel":
                return StageOutput.cancel(f"{self.index} has had enough")
            case "fail":
                return StageOutput.fail(f"{self.index} gives up")
            case "suspend":
                return StageOutput.suspend(f"{self.index} asks")
            case "wrong type":
                return 42
            case "route a" | "route b" | "route nowhere" as ending:
                return {"route": ending.removeprefix("route "), "said": self.saying}
        raise AssertionError(f"no such ending: {self.act.ending}")

    def fail(self, ending):
        """Fail by an exception, or ask for another attempt."""
        match ending:
            case "raise":
                raise LookupError(f"{self.index} is lost")
            case "raise odd":
                raise OddError(f"{self.index} is odd")
            case "raise cancelled":
                self.by_itself = True
                raise asyncio.CancelledError
            case "raise transient":
                raise TransientError(f"{self.index} is not there yet")
            case "raise transient later":
                raise LaterError(f"{self.index} is not there yet")
            case "retry":
                return StageOutput.retry(f"{self.index} wants another try")
            case "retry later":
                return StageOutput.retry(f"{self.index} wants another try", after=LATER)
        raise AssertionError(f"no such ending: {ending}")

    async def react(self):
        """Do what the script says of a cancellation; another one meanwhile passes through."""
        match self.act.when_cancelled:
            case "clean up":
                await asyncio.sleep(0.125)
                raise asyncio.CancelledError
            case "return":
                return {"said": self.saying}
            case "return late":
                await asyncio.sleep(0.125)
                return {"said": self.saying}
            case "raise":
                raise RuntimeError(f"{self.index} does not want to stop")
            case "skip":
                return StageOutput.skip(f"{self.index} skips the rest")
            case "straggle":
                until = asyncio.get_running_loop().time() + self.run.scenario.cancel_grace * STRAGGLE + 1
                await sleep_in_spite_of_all(until)
                return {"said": self.saying}
        raise AssertionError(f"no such reaction: {self.act.when_cancelled}")

    @property
    def saying(self):
        return f"{self.run.number}:{self.index}:{self.ctx.attempt}"

    def publishing(self, data):
        if not self.script.publishes:
            return data
        note, event = StageArtifact("note", {"of": self.index}), StageEvent("own.event", {"of": self.index})
        return StageOutput.ok(data).publishing(note, event)


def see_inputs(inputs, script):
    """Return what a stage, or its condition, reads of each dependency."""
    seen = []
    for index in script.dependencies:
        name = name_of(index)
        seen.append(f"{name}={inputs.get_from(name, 'said', 'nothing') if inputs.has_output(name) else 'absent'}")
    return " ".join(seen)


def describe_result(result):
    """Return what a stage returned: its status, and what it said or the reason."""
    if isinstance(result, StageOutput) and result.status is not StageStatus.OK:
        return f"{result.status.value} {result.reason or result.error}"
    if result is None or isinstance(result, dict | StageOutput):
        data = result.data if isinstance(result, StageOutput) else result or {}
        route = f"route {data['route']} " if "route" in data else ""
        return f"ok {route}{data.get('said', 'nothing')}"
    return f"wrong {type(result).__name__}"


async def sleep_in_spite_of_all(until):
    """Sleep until that time, deaf to every cancellation."""
    loop = asyncio.get_running_loop()
    while (seconds := until - loop.time()) > 0:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            continue


async def _task(ctx, seconds):
    await asyncio.create_task(asyncio.sleep(seconds))


async def _gather(ctx, seconds):
    await asyncio.gather(asyncio.sleep(seconds / 2), asyncio.sleep(seconds))


async def _group(ctx, seconds):
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(seconds))
        group.create_task(asyncio.sleep(0))


async def _limit(ctx, seconds):
    try:
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()
    except TimeoutError:
        pass


async def _hold(ctx, seconds):
    asyncio.get_running_loop().hold(seconds)


WAITS = {
    "turn": lambda ctx, seconds: asyncio.sleep(0),
    "sleep": lambda ctx, seconds: asyncio.sleep(seconds),
    "task": _task,
    "gather": _gather,
    "group": _group,
    "limit": _limit,
    "checkpoint": lambda ctx, seconds: ctx.checkpoint(),
    "hold": _hold,
}


def spec_of(script: Script, index: int, taken: set[str]):
    """Return the stage of a pipeline that performs the script; `taken` are the routes that lead from it to others."""
    return stage(
        name_of(index),
        _runner(script, index),
        StageKind.ROUTE if script.is_router else None,
        dependencies=[name_of(other) for other in script.required],
        optional=[name_of(other) for other in script.optional],
        when=None if script.when is None else _condition(script, index),
        join="any" if script.join_any else "all",
        route={name_of(router): route for router, route in script.behind},
        routes=ROUTES if script.is_router else (),
        terminal_routes=[route for route in ROUTES if route not in taken] if script.is_router else (),
        retry=None if script.policy is None else _policy(script.policy),
        timeout=script.timeout,
        deadline=script.deadline,
        critical=script.critical,
    )


def _runner(script, index):
    async def perform(ctx: StageContext):
        return await Actor(script, index, ctx).perform()

    class Runner:
        async def execute(self, ctx: StageContext):
            return await perform(ctx)

    return {"function": perform, "class": Runner, "instance": Runner()}[script.form]


def _condition(script, index):
    def when(inputs, snapshot):
        MARK.set(f"the condition of {index}'s")
        RUN.get().tell("asked", index, f"{script.when} {see_inputs(inputs, script)}".strip())
        if script.when == "raises":
            raise ValueError(f"{index} cannot say")
        return {"yes": True, "no": False, "nonsense": 1}[script.when]

    return when


def _policy(policy: Policy):
    covers = (TransientError, StageTimeoutError) if policy.covers_limits else (TransientError,)
    return RetryPolicy(policy.max_attempts, policy.base_delay, policy.max_delay, policy.jitter, covers)

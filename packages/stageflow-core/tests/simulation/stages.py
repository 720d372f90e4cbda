"""Stages that do what a scenario says, and tell the trace what happens to them."""

import asyncio
from contextvars import ContextVar

from stageflow import StageArtifact, StageContext, StageEvent, StageOutput, StageStatus
from simulation.scenario import Script

MARK = ContextVar("mark", default="the caller's")
"""What stages set and must not see of one another."""

STRAGGLE = 3.0
"""A straggler goes on for so many times the grace, and a little longer."""


class OddError(BaseException):
    """Not an Exception."""


class Actor:
    """One stage of one run: performs its script once for each attempt."""

    def __init__(self, script, index, run):
        self.script = script
        self.index = index
        self.run = run
        self.by_itself = False

    async def perform(self, ctx: StageContext):
        """Do what the script says; each way out leaves an "end" in the trace, and then a "finally"."""
        script, tell = self.script, self.tell
        tell("start", self.what_it_sees(ctx))
        try:
            try:
                result = await self.act(ctx)
            except asyncio.CancelledError:
                if self.by_itself:
                    raise
                tell("cancelled")
                if script.when_cancelled == "leave":
                    raise
                result = await self.react()
            finally:
                if script.ending == "raise in finally":
                    raise OSError(f"in the finally of {self.index}")
        except BaseException as error:
            tell("end", f"raise {type(error).__name__}: {error}".removesuffix(": "))
            raise
        else:
            tell("end", f"return {describe_result(result)}")
            return result
        finally:
            tell("finally")

    def tell(self, what, detail=""):
        self.run.tell(what, self.index, detail)

    def what_it_sees(self, ctx):
        """Return the inputs, and whatever else should not depend on who ran before."""
        inputs = ctx.inputs
        seen = []
        for index in self.script.dependencies:
            name = self.run.names[index]
            said = inputs.get_from(name, "said", "nothing") if inputs.has_output(name) else "absent"
            seen.append(f"{name}={said}")
        left_behind = asyncio.current_task().cancelling()
        return " ".join([*seen, f"mark={MARK.get()}", f"cancelling={left_behind}", f"attempt={ctx.attempt}"])

    async def act(self, ctx):
        script = self.script
        if script.sets_variable:
            MARK.set(f"stage {self.index}'s")
        for wait in script.waits:
            await WAITS[wait.kind](self, ctx, wait)
            self.tell("goes on")
        return await self.end()

    async def end(self):  # one case for each ending
        match self.script.ending:
            case "ok" | "raise in finally":
                return self.output({"said": self.saying})
            case "value":
                return self.output({})
            case "nothing":
                return None
            case "skip":
                return StageOutput.skip(f"{self.index} has nothing to do")
            case "cancel":
                return StageOutput.cancel(f"{self.index} has had enough")
            case "fail":
                return StageOutput.fail(f"{self.index} gives up")
            case "raise":
                raise LookupError(f"{self.index} is lost")
            case "raise odd":
                raise OddError(f"{self.index} is odd")
            case "raise cancelled":
                self.by_itself = True
                raise asyncio.CancelledError
            case "cancel own task":
                self.by_itself = True
                asyncio.current_task().cancel()
                await asyncio.sleep(0)
            case "cancel own task and return":
                asyncio.current_task().cancel()
                return {"said": self.saying}
            case "wrong type":
                return 42
            case "hang":
                await asyncio.Event().wait()
        raise AssertionError(f"no such ending: {self.script.ending}")

    async def react(self):
        """Do what the script says of a cancellation; another one meanwhile passes through."""
        match self.script.when_cancelled:
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
                await asyncio.sleep(self.run.scenario.cancel_grace * STRAGGLE + 1)
                return {"said": self.saying}
        raise AssertionError(f"no such reaction: {self.script.when_cancelled}")

    @property
    def saying(self):
        return f"{self.run.number}:{self.index}"

    def output(self, data):
        if not self.script.publishes:
            return data
        return StageOutput.ok(data).publishing(
            StageArtifact("note", {"of": self.index}), StageEvent("own.event", {"of": self.index})
        )


def describe_result(result):
    """Return what a stage returned: its status, and what it said or the reason."""
    if isinstance(result, StageOutput) and result.status is not StageStatus.OK:
        return f"{result.status.value} {result.reason or result.error}"
    if result is None or isinstance(result, dict | StageOutput):
        data = result.data if isinstance(result, StageOutput) else result or {}
        return f"ok {data.get('said', 'nothing')}"
    return f"wrong {type(result).__name__}"


async def _turn(actor, ctx, wait):
    await asyncio.sleep(0)


async def _sleep(actor, ctx, wait):
    await asyncio.sleep(wait.seconds)


async def _task(actor, ctx, wait):
    await asyncio.create_task(asyncio.sleep(wait.seconds))


async def _gather(actor, ctx, wait):
    await asyncio.gather(asyncio.sleep(wait.seconds / 2), asyncio.sleep(wait.seconds))


async def _group(actor, ctx, wait):
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(wait.seconds))
        group.create_task(asyncio.sleep(0))


async def _limit(actor, ctx, wait):
    try:
        async with asyncio.timeout(wait.seconds):
            await asyncio.Event().wait()
    except TimeoutError:
        pass


async def _checkpoint(actor, ctx, wait):
    await ctx.checkpoint()


async def _hold(actor, ctx, wait):
    asyncio.get_running_loop().hold(wait.seconds)


WAITS = {
    "turn": _turn,
    "sleep": _sleep,
    "task": _task,
    "gather": _gather,
    "group": _group,
    "limit": _limit,
    "checkpoint": _checkpoint,
    "hold": _hold,
}


def runner_for(script: Script, index: int):
    """Return the stage in the form that the script asks for; its run is what it finds as `ctx.ports`."""

    async def perform(ctx: StageContext):
        return await Actor(script, index, ctx.ports).perform(ctx)

    class Runner:
        async def execute(self, ctx: StageContext):
            return await perform(ctx)

    return {"function": perform, "class": Runner, "instance": Runner()}[script.form]

"""Stages that do what a composed scenario says, and note what happens to them."""

import asyncio
from contextlib import suppress

from stageflow import RetryPolicy, StageContext, StageOutput, StreamOptions, stage
from stageflow.errors import StageflowError, StageTimeoutError

from simulation.composed.reading import StageReader
from simulation.scenario import name_of
from simulation.stages import MARK, TransientError

CLEANING = 0.125
"""Seconds that a stage takes to clean up, or to go on, when it is cancelled."""


async def pause(seconds):
    """Wait as one of `Waits` says."""
    if seconds >= 0:
        await asyncio.sleep(seconds)


class AsyncItems:
    """Items that come one by one, and each takes as long as the script says."""

    def __init__(self, count, pace, stay):
        self.count = count
        self.pace = pace
        self.stay = stay

    def __deepcopy__(self, memo):
        return self

    async def __aiter__(self):
        try:
            for index in range(self.count):
                await pause(self.pace[index % len(self.pace)])
                self.stay.pulls.append(self.stay.tell("is asked for an item", str(index))[0])
                yield index
        finally:
            self.stay.source_closed, _ = self.stay.tell("has given its last item")


class Actor:
    """One execution of one stage, for one item if it is mapped."""

    def __init__(self, world, plan, index, ctx):
        self.world = world
        self.plan = plan
        self.part = plan.parts[index]
        self.index = index
        self.ctx = ctx
        item = None if self.part.mapped is None else ctx.index
        self.stay = world.begin(ctx, plan, index, item)
        if item is not None:
            self.stay.item_value = ctx.item
        self.late = False

    @property
    def ending(self):
        number, faults = self.ctx.attempt, () if self.part.mapped is None else self.part.mapped.faults
        for index, attempt, ending in faults:
            if index == self.stay.item and attempt in (number, 0):
                return ending
        return self.part.endings[min(number, len(self.part.endings)) - 1]

    async def perform(self):
        """Do what the script says of a stage that returns."""
        stay = self.stay
        try:
            try:
                result = await self.work()
            except asyncio.CancelledError:
                stay.note_cancelled()
                result = await self.react()
        except BaseException as error:
            stay.end(f"raise {type(error).__name__}")
            raise
        else:
            stay.end("return " + (result.status.value if isinstance(result, StageOutput) else "ok"))
            return result
        finally:
            stay.finish()

    async def generate(self):
        """Do what the script says of a stage that streams."""
        part, stay, how = self.part, self.stay, "return ok"
        try:
            try:
                await self.begin()
                if part.reads:
                    reader = StageReader(self, part.reads[0])
                    while await reader.next():
                        yield stay.note_yield()
                        stay.note_going_on()
                for number in range(part.chunks.count):
                    await pause(part.chunks.pace[number % len(part.chunks.pace)])
                    yield stay.note_yield()
                    stay.note_going_on()
                result = await self.finish()
                if part.chunks.says_so or result.status.value != "ok":
                    how = f"return {result.status.value}"
                    yield result
            except asyncio.CancelledError:
                stay.note_cancelled()
                if part.when_cancelled == "leave":
                    raise
                await asyncio.sleep(CLEANING)
                if part.when_cancelled == "clean up":
                    raise
                if part.when_cancelled == "raise":
                    raise RuntimeError("it does not want to stop") from None
                yield stay.note_yield()
        except BaseException as error:
            how = f"raise {type(error).__name__}"
            raise
        finally:
            stay.end(how)
            if part.when_cancelled == "clean up":
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(CLEANING)
            stay.finish()

    async def begin(self):
        if self.part.sets_variable:
            MARK.set(f"stage {self.index}'s")
        for seconds in self.part.waits:
            await pause(seconds)

    async def work(self):
        await self.begin()
        await self.read()
        await self.run_children()
        return await self.finish()

    async def read(self):
        readers = [StageReader(self, reading) for reading in self.part.reads]
        if len(readers) == 1:
            await readers[0].read()
        elif readers:
            async with asyncio.TaskGroup() as group:
                for reader in readers:
                    group.create_task(reader.read())

    async def run_children(self):
        children = [self.plan] if self.part.spawns_itself else self.part.children
        match self.part.children_run:
            case "in turn":
                for child in children:
                    await self.run_child(child)
            case "in a group":
                async with asyncio.TaskGroup() as group:
                    for child in children:
                        group.create_task(self.run_child(child))
            case "gathered":
                await asyncio.gather(*map(self.run_child, children))

    async def run_child(self, child):
        call = self.stay.begin_child(child)
        try:
            call.results = await self.ctx.run_pipeline(self.world.graph_of(child), metadata={"call": call.number})
        except StageflowError as error:
            call.raised, call.results = error, getattr(error, "results", None)
            if self.part.when_child_fails == "raise":
                raise
        except BaseException as error:
            call.raised = error
            raise
        finally:
            call.end()

    async def finish(self):
        """Return or raise as the script says of this attempt."""
        match self.ending:
            case "raise":
                raise LookupError(f"{self.index} is lost")
            case "raise transient":
                raise TransientError(f"{self.index} is not there yet")
            case "hang":
                await asyncio.Event().wait()
            case "ok":
                return StageOutput.ok(self.said())
            case "skip":
                return StageOutput.skip(f"{self.index} has nothing to do")
            case "cancel":
                return StageOutput.cancel(f"{self.index} has had enough")
            case "fail":
                return StageOutput.fail(f"{self.index} gives up")
            case "retry":
                return StageOutput.retry(f"{self.index} wants another try")
        raise AssertionError(f"no such ending: {self.ending}")

    def said(self):
        said = {"said": f"{self.index}"} if self.stay.item is None else {"item": self.stay.item}
        if self.part.items is not None:
            is_async = self.part.items_are == "async"
            said["items"] = (
                AsyncItems(self.part.items, self.part.items_pace, self.stay)
                if is_async
                else list(range(self.part.items))
            )
        return said

    async def react(self):
        """Do what the script says of a cancellation; another one meanwhile passes through."""
        if self.part.when_cancelled == "leave":
            raise asyncio.CancelledError
        await asyncio.sleep(CLEANING)
        if self.part.when_cancelled == "clean up":
            raise asyncio.CancelledError
        if self.part.when_cancelled == "raise":
            raise RuntimeError(f"{self.index} does not want to stop")
        for reading in self.part.reads[:1]:
            await StageReader(self, reading).read()
        return StageOutput.ok(self.said())


def spec_of(world, plan, index):
    """Return the stage of a pipeline that performs a part."""
    part = plan.parts[index]

    async def perform(ctx: StageContext):
        return await Actor(world, plan, index, ctx).perform()

    async def generate(ctx: StageContext):
        chunks = Actor(world, plan, index, ctx).generate()
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            await chunks.aclose()

    return stage(
        name_of(index),
        perform if part.chunks is None else generate,
        dependencies=[name_of(other) for other in part.needs],
        optional=[
            *(name_of(other) for other in part.hears),
            *(name_of(reading.source) for reading in part.reads if reading.optional),
        ],
        streams=[name_of(reading.source) for reading in part.reads],
        stream=None if part.chunks is None else StreamOptions(part.chunks.capacity, part.chunks.on_full),
        retry=None if part.policy is None else _policy(part.policy),
        timeout=part.timeout,
        deadline=part.deadline,
        critical=part.critical,
        **_shared(part),
    )


def _shared(part):
    options = {} if part.limit is None else {"limit": part.limit, "priority": part.priority}
    if part.mapped is not None:
        source = name_of(part.mapped.source)
        options["map_over"] = source if part.mapped.of_stream else (source, "items")
        options["map_concurrency"] = part.mapped.concurrency
    return options


def _policy(policy):
    covers = (TransientError, StageTimeoutError) if policy.covers_limits else (TransientError,)
    return RetryPolicy(policy.max_attempts, policy.base_delay, policy.max_delay, policy.jitter, covers)

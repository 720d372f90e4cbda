"""Runs a composed scenario in simulated time and records everything that can be seen of it."""

import asyncio
import gc

from stageflow import ContextSnapshot, Limits, Pipeline, PipelineContext, RunIdentity
from stageflow.errors import StageflowError

from simulation.composed.acting import spec_of
from simulation.composed.reading import Reader, listen
from simulation.composed.records import Records
from simulation.composed.scenario import Composed
from simulation.scenario import name_of
from simulation.stages import MARK
from simulation.trace import Entry
from simulation.world import LONG_AFTERWARDS, Interrupter, complaint_of, without_logs

TENANT = {"session_id": "a session", "user_id": "a user", "org_id": "an organisation"}


class Stay:
    """One execution of a stage's code, for one item if it is mapped. Places are those of its entries in the trace.

    Attributes:
        yields: Place, time, and time at which it went on, of each chunk that it yielded.
        calls: The children that it ran.
        how: What it ended as: "return ok", "raise LookupError".
        pulls: The places at which items were taken of those that it returned, if they come one by one.
        source_closed: The place at which whoever took them had taken all, or closed what gave them.
        holds: Whether it has its permit back after each child, if it has one.
    """

    def __init__(self, world, run, index, item, ctx):
        self.world, self.run, self.index, self.item = world, run, index, item
        self.attempt, self.mark = ctx.attempt, MARK.get()
        self.ctx = ctx
        self.item_value = None
        self.readers, self.yields, self.calls = [], [], []
        self.cancelled = self.cancelled_at = self.ended = self.ended_at = self.final = self.final_at = self.how = None
        self.told_to_stop = False
        self.pulls, self.source_closed, self.children, self.holds = [], None, 0, True
        self.limit = world.runs_by_number[run].plan.parts[index].limit
        world.hold(self.limit, 1)
        self.started, self.started_at = self.tell("start", f"attempt={self.attempt} mark={self.mark}")

    def tell(self, what, detail=""):
        who = "" if self.item is None else f"[{self.item}] "
        stopping = self.ctx.cancelled
        return self.world.tell(self.run, what, self.index, f"{who}{detail}".strip(), stopping=stopping)

    def note_yield(self):
        chunk = f"{self.index}:{self.attempt}:{len(self.yields)}"
        place, time = self.tell("yields", chunk)
        self.yields.append([place, time, None])
        return chunk

    def note_going_on(self):
        """Note that what was yielded last is with its readers."""
        self.yields[-1][2] = asyncio.get_running_loop().time()

    def note_cancelled(self):
        if self.cancelled is None:
            self.told_to_stop = self.ctx.cancelled
            self.cancelled, self.cancelled_at = self.tell("cancelled")

    def end(self, how):
        self.how = how
        self.ended, self.ended_at = self.tell("end", how)

    def finish(self):
        self.final, self.final_at = self.tell("finally")
        if self.holds and not self.children:
            self.world.hold(self.limit, -1)

    def begin_child(self, plan):
        """Note that it runs a child, for which it lends its permit."""
        if self.holds and not self.children:
            self.world.hold(self.limit, -1)
        self.children += 1
        call = Call(self, plan)
        self.calls.append(call)
        return call

    def end_child(self, *, regained):
        """Note that a child has ended; a cancelled stage does not get its permit back."""
        self.children -= 1
        self.holds = self.holds and regained and self.final is None
        if self.holds and not self.children:
            self.world.hold(self.limit, 1)


class Call:
    """One child that a stage ran."""

    def __init__(self, stay, plan):
        self.stay, self.plan = stay, plan
        self.results = self.raised = self.ended = self.ended_at = None
        stay.world.calls.append(self)
        self.number = len(stay.world.calls)
        self.started, self.started_at = stay.tell("runs a child", str(self.number))

    def end(self):
        self.stay.end_child(regained=not isinstance(self.raised, asyncio.CancelledError))
        said = "" if self.raised is None else f" raised {type(self.raised).__name__}"
        self.ended, self.ended_at = self.stay.tell("child ended", f"{self.number}{said}")


class Told:
    """One run, of the scenario's pipeline or of a child, as its events and its stages tell of it.

    Attributes:
        events: What the sink was given, each with its place in the trace.
        call: The child that it is, or None.
        results, raised: What the caller got.
        ended: The place at which the caller learned of the end.
    """

    def __init__(self, number, run_id):
        self.number, self.run_id = number, run_id
        self.plan = self.call = self.results = self.raised = self.handle = self.caller = None
        self.events, self.stays, self.listeners, self.left_over = [], [], [], []
        self.began_at = self.ended = self.ended_at = None
        self.interfered = 0

    def stays_of(self, index):
        return [stay for stay in self.stays if stay.index == index]


class World:
    """Everything that was seen of one scenario.

    Attributes:
        trace: What happened, in its order, of all runs.
        runs: By id, of the scenario and of children, in the order in which they were first heard of.
        roots: Those that are not children.
        complaints: What asyncio told its exception handler.
        broken: What came out of the event loop itself: nothing can happen any more, or there is no end.
        remaining: Names of tasks that are still there long after the end.
        misuse: What was wrong with the permits meanwhile.
        steps: How many steps the event loop took.
        records: What the run store was told, or None.
    """

    def __init__(self, scenario):
        self.scenario = scenario
        self.trace, self.complaints, self.remaining, self.misuse = [], [], [], []
        self.runs, self.roots, self.graphs, self.calls, self.holders = {}, [], {}, [], {}
        self.broken, self.steps, self.limits = None, 0, None
        self.records = None if scenario.store == "none" else Records(scenario.store)

    @property
    def runs_by_number(self):
        return list(self.runs.values())

    @property
    def has_streams(self):
        return any(part.chunks is not None for plan in self.graphs for part in plan.parts)

    def roots_ended_by(self, place):
        """Return whether any of the scenario's own runs had ended by then: nobody can stop them any more."""
        return any(run.ended is not None and run.ended < place for run in self.roots)

    def put_together(self):
        """Find out whose children those are of which no stage has begun."""
        for call in self.calls:
            if call.results is not None:
                run = self.told(call.results.pipeline_run_id)
                run.call, run.plan, run.results, run.raised = call, call.plan, call.results, call.raised

    # What the stages tell.

    def tell(self, run, what, index=None, detail="", *, stopping=False):
        time = asyncio.get_running_loop().time()
        self.trace.append(Entry(time, run, what, index, detail, stopping))
        self.check_permits()
        return len(self.trace) - 1, time

    def hold(self, limit, change):
        """Note that code runs which must hold a permit, or does so no longer."""
        if limit is not None:
            self.holders[limit] = self.holders.get(limit, 0) + change

    def check_permits(self):
        for name, capacity in self.scenario.capacities:
            used, needed = self.limits.in_use(name), self.holders.get(name, 0)
            if not needed <= used <= capacity:
                self.misuse.append(f"{used} permits of '{name}' are in use, of {capacity}, and {needed} use one")

    def told(self, run_id):
        """Return the run with that id, which may be heard of for the first time."""
        run = self.runs.get(run_id)
        if run is None:
            run = self.runs[run_id] = Told(len(self.runs), run_id)
        return run

    def begin(self, ctx, plan, index, item):
        run = self.told(ctx.snapshot.run_id.pipeline_run_id)
        run.plan = plan
        if ctx.snapshot.metadata:
            run.call = self.calls[ctx.snapshot.metadata["call"] - 1]
        stay = Stay(self, run.number, index, item, ctx)
        run.stays.append(stay)
        return stay

    def graph_of(self, plan):
        """Return the graph of a plan, the same each time."""
        graph = self.graphs.get(plan)
        if graph is None:
            graph = self.graphs[plan] = Pipeline(
                "simulated",
                [spec_of(self, plan, index) for index in range(len(plan.parts))],
                timeout=plan.timeout,
                on_failure="continue" if plan.goes_on else "fail_fast",
                cancel_grace=plan.cancel_grace,
                max_concurrency=plan.max_concurrency,
            ).build()
        return graph

    # The sink.

    def try_emit(self, *, type, data):
        run = self.told(data["pipeline_run_id"])
        index = None if data["stage"] is None else int(data["stage"].removeprefix("s"))
        place, _ = self.tell(run.number, "event", index, type)
        run.events.append((place, data))

    async def emit(self, *, type, data):
        self.try_emit(type=type, data=data)

    # The callers.

    def interfere(self, kind, times=1):
        """Do what somebody outside may do to every run that goes on."""
        for run in self.roots:
            if run.began_at is not None and run.ended is None:
                for _ in range(times):
                    self.tell(run.number, kind)
                    run.interfered += 1
                    if kind == "cancel the caller":
                        run.caller.cancel()
                    else:
                        run.handle.cancel("its owner has had enough")

    async def call(self, run, at):
        """Start a run, wait for it, and note what comes of it."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(at)
        run.began_at = loop.time()
        snapshot = ContextSnapshot(run_id=RunIdentity(run.run_id, **TENANT))
        limits = self.limits if self.scenario.capacities else None
        sink = self if self.scenario.listens else None
        context = PipelineContext(snapshot=snapshot, event_sink=sink, limits=limits, run_store=self.records)
        graph, readers = self.graph_of(self.scenario.plan), []
        run.plan = self.scenario.plan
        try:
            if self.scenario.entry == "run":
                run.results = await graph.run(context)
            else:
                run.handle = graph.start(context)
                for number, reading in enumerate(self.scenario.listeners):
                    reader = Reader(self, reading, run.number, f"listener {number}")
                    reader.stream = run.handle.stream(name_of(reading.source))
                    run.listeners.append(reader)
                    readers.append(asyncio.create_task(listen(reader), name="listener"))
                run.results = await run.handle
        except StageflowError as error:
            run.raised, run.results = error, getattr(error, "results", None)
        except BaseException as error:  # noqa: BLE001 - whatever the caller gets is to be judged
            run.raised = error
        said = "" if run.raised is None else type(run.raised).__name__
        status = "" if run.results is None else f" {run.results.status}"
        run.ended, run.ended_at = self.tell(run.number, "returned", None, f"{said}{status}".strip())
        if len(self.roots) == 1:
            here = {asyncio.current_task(), *readers}
            run.left_over = [task.get_name() for task in asyncio.all_tasks() - here if _is_ours(task)]
        if run.results is None and run.handle is not None:
            run.results = await run.handle.outcome()


def _is_ours(task):
    return task.get_name().startswith("stageflow")


def observe(scenario: Composed) -> World:
    """Run the scenario once."""
    world, outside = World(scenario), scenario.outside
    act = None if outside is None else lambda: world.interfere(outside.kind, outside.times)
    at_step = int(outside.at) if outside is not None and outside.occasion == "step" else None
    loop = PermitWatch(scenario.order, at_step, act, world)
    loop.set_exception_handler(lambda _, context: world.complaints.append(complaint_of(context)))
    with without_logs():
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(_watch(world, act))
        except RuntimeError as error:  # StalledError, TooManyStepsError
            world.broken = error
        gc.collect(0)  # a task whose exception nobody asked for complains when it is gone
    world.steps = loop.steps
    world.put_together()
    return world


class PermitWatch(Interrupter):
    """Sees to it that nobody waits in vain for permits whenever nothing can happen before time passes."""

    def __init__(self, order, at_step, act, world):
        super().__init__(order, at_step, act)
        self.world = world

    def begin_turn(self, *, stalled):
        world = self.world
        if world.limits is not None and not self._ready:
            names = [name for name, _ in world.scenario.capacities]
            idle = not any(map(world.limits.in_use, names))
            if idle and any(map(world.limits.waiting, names)):
                world.misuse.append("somebody waits for permits, and nobody has any")
            for name, capacity in world.scenario.capacities:
                used = world.holders.get(name, 0)
                # Stages that are joined by streams hold permits for each other.
                if used < capacity and world.limits.waiting(name) and not world.has_streams:
                    world.misuse.append(f"somebody waits for '{name}', of which {used} of {capacity} are made use of")
        super().begin_turn(stalled=stalled)


async def _watch(world, act):
    scenario, loop = world.scenario, asyncio.get_running_loop()
    if scenario.capacities:
        world.limits = Limits(dict(scenario.capacities))
    world.graph_of(scenario.plan)
    if scenario.outside is not None and scenario.outside.occasion == "time":
        loop.call_at(scenario.outside.at, act)
    for at in scenario.starts:
        run = world.told(f"run-{len(world.roots)}")
        world.roots.append(run)
        run.caller = asyncio.create_task(world.call(run, at), name="caller")
    if scenario.patience is not None:
        loop.call_later(scenario.patience, world.interfere, "cancel the caller")
    await asyncio.wait({run.caller for run in world.roots})
    await asyncio.sleep(LONG_AFTERWARDS)
    for name, _ in scenario.capacities:
        if world.limits.in_use(name) or world.limits.waiting(name):
            world.misuse.append(
                f"permits of '{name}' were never given back, or somebody waits for them: {world.limits!r}"
            )
    world.remaining = sorted(task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()})

"""What is known of one run once all is over: what its events, its stages' code and its results say."""

from simulation.scenario import name_of

OK, SKIP, FAIL, CANCEL = "ok", "skip", "fail", "cancel"
STATUS_OF_EVENT = {"completed": OK, "failed": FAIL, "skipped": SKIP, "cancelled": CANCEL, "suspended": "suspend"}
NEVER = float("inf")


class Account:
    """One run, put together.

    Attributes:
        parts: What its stages are to do.
        started, ended: By index, the places of the events of a stage's start and end.
        status: By index, what is recorded, or what the last event says if the caller got no results.
        excused: Those that may outlive the run, since they took longer to stop than they may.
        is_known: Whether there are results or events, by which to tell who outlived the run.
        over: The place at which whoever ran it learned of the end.
    """

    def __init__(self, world, run):
        self.world, self.run, self.plan = world, run, run.plan
        self.parts = run.plan.parts
        self.results = run.results
        self.started, self.ended, self.status, self.retries = {}, {}, {}, {}
        self.excused = set()
        self.is_known = run.results is not None or bool(run.events)
        self.over = run.ended if run.call is None else run.call.ended
        self.records = {}
        for place, event in run.events:
            if event["stage"] is None:
                continue
            index, kind = int(event["stage"].removeprefix("s")), event["event_type"].rpartition(".")[2]
            if kind == "started":
                self.started.setdefault(index, place)
            elif kind == "retrying":
                self.retries[index] = self.retries.get(index, 0) + 1
            elif kind == "straggling":
                self.excused.add(index)
            elif kind in STATUS_OF_EVENT:
                self.ended[index], self.status[index] = place, STATUS_OF_EVENT[kind]
        if run.results is not None:
            self.records = {index: run.results.record(name_of(index)) for index in range(len(self.parts))}
            self.status = {index: record.status.value for index, record in self.records.items()}
            self.excused |= {int(name.removeprefix("s")) for name in run.results.stragglers}
        if not self.is_known and run.plan.cancel_grace < 1:
            self.excused = set(range(len(self.parts)))

    @property
    def listens(self):
        """Whether there are events to go by."""
        return bool(self.run.events)

    @property
    def is_stopped(self):
        """Whether it ended before its stages were done."""
        return self.results is None or self.results.status in ("cancelled", "failed")

    def time_of(self, place):
        return self.world.trace[place].time

    def has_started(self, index):
        return index in self.started or bool(self.run.stays_of(index))

    def streams_read(self):
        """Return each pair of a stage that reads a stream, and its reading."""
        return [(index, reading) for index, part in enumerate(self.parts) for reading in part.streams_read]

    def readers_of(self, source):
        """Return the stages that read the stream of one, each with its reading."""
        return [(index, reading) for index, reading in self.streams_read() if reading.source == source]

    def groups(self):
        """Return, by index, the stages that are joined by streams with it."""
        joined = {index: {index} for index in range(len(self.parts))}
        for reader, reading in self.streams_read():
            both = joined[reader] | joined[reading.source]
            for member in both:
                joined[member] = both
        return joined

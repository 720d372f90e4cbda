"""Those who read streams: stages, and whoever holds the run."""

import asyncio

from stageflow.errors import MissingInputError

from simulation.scenario import name_of


class Read:
    """One chunk that was read: when it was asked for, where and when it came, and what it was."""

    def __init__(self, asked_at, place, at, chunk):
        self.asked_at, self.place, self.at, self.chunk = asked_at, place, at, chunk


class Reader:
    """Reads a stream as a Reading says.

    Attributes:
        reads: What it read.
        ended: How its reading ended: "end" if all had come, "left" if it wanted no more, "absent" if there is none, the
            name of an error, None if it was broken off.
        final: What the stream had counted when somebody outside was done with it.
        left_at, left_place: When and where it had told the stream that it wants no more.
    """

    def __init__(self, world, reading, run_number, name):
        self.world = world
        self.reading = reading
        self.run = run_number
        self.name = name
        self.reads = []
        self.ended = None
        self.left_at = self.left_place = None
        self.stream = self.final = None

    async def next(self):
        """Read one chunk; return whether there was one and more are wanted."""
        reading, loop = self.reading, asyncio.get_running_loop()
        if self.stream is None:
            return False
        if len(self.reads) == reading.stop_after:
            self.ended = "left"
            if reading.how == "fail":
                raise LookupError(f"{self.name} has seen enough")
            if reading.how == "close":
                stream, self.stream = self.stream, None
                await stream.aclose()
                self.note_leaving()
            return False
        pace = reading.pace[len(self.reads) % len(reading.pace)]
        if pace >= 0:
            await asyncio.sleep(pace)
        asked_at = loop.time()
        try:
            chunk = await anext(self.stream)
        except StopAsyncIteration:
            self.ended = "end"
            self.tell("reads the end of")
            return False
        except Exception as error:
            self.ended = type(error).__name__
            self.tell(f"reads {self.ended} of")
            raise
        place, at = self.tell("reads", f" {chunk}")
        self.reads.append(Read(asked_at, place, at, chunk))
        return True

    async def read(self):
        """Read until the end, or until no more is wanted."""
        while await self.next():
            pass

    def note_leaving(self):
        self.left_place, self.left_at = self.tell("leaves")

    def tell(self, what, more=""):
        return self.world.tell(self.run, what, None, f"{name_of(self.reading.source)}{more} ({self.name})")


class StageReader(Reader):
    """A stage that reads."""

    def __init__(self, actor, reading):
        super().__init__(actor.world, reading, actor.stay.run, name_of(actor.index))
        actor.stay.readers.append(self)
        try:
            self.stream = actor.ctx.inputs.stream(name_of(reading.source))
        except MissingInputError:
            self.ended = "absent"


async def listen(reader):
    """Read `run.stream`, and be gone: nothing keeps a reader that has left but the one who asked for it."""
    try:
        await reader.read()
    except Exception:  # noqa: BLE001 - noted by the reader, and nobody else cares
        pass
    finally:
        if reader.stream is not None:
            reader.final = reader.stream.statistics()
        reader.stream = None
        if reader.left_at is None:
            reader.note_leaving()

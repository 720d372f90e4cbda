"""Thousands of simulated turns of a chat, each judged by rules: `python -m examples.simulated_chat`.

How to take this for a pipeline of your own:

1. `pipeline.py` is the application. Nothing in it knows of tests: whatever it talks to comes in the run's ports. Put
   yours in its place.
2. `world.py` has a stand-in for each port, and a user. Model and tools are mocks of stageflow_mocks; a service of your
   own is a class that waits, fails at a rate and keeps what it was given, as `Service` here. Everything is drawn from
   the random source that is handed in, before the run begins: so a seed is a world.
3. `rules.py` says what has to be so after every run, however it ended: what must not be read, written, asked or left
   behind. A rule that would have to know which fault struck belongs into a test of its own.
4. `turn.py` runs one world and keeps what can be seen of it. Its `take_turn` is all that a test needs:

       @pytest.mark.stageflow_simulation(seeds=300)
       async def test_every_turn_keeps_every_rule():
           assert violations_of(await take_turn(graph)) == []

5. Plant bugs, as `examples/tests/test_simulated_chat.py` does: a rule that never finds one may be unable to. And look
   at how the runs of `command.py` end: an ending that never occurs is not tested.
"""

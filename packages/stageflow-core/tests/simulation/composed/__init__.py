"""Simulated runs in which stages do something together: streams, maps, child pipelines, and permits that they share.

How such a run must end is not predicted, as it is for stages that stand alone: too much of it is left to the order of
tasks. Judged is what must hold in any order.

    scenario   is what happens, as plain data
    generator  makes one of a kind and a seed
    acting     does what the scenario says of a stage, and notes what happens to it
    reading    does so for the streams that a stage reads
    world      runs a scenario in simulated time, and records what it sees
    rules      say what must hold, each for one run, or for all that share permits
    references are pipelines by hand, which are cancelled at every step that they take
"""

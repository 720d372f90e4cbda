"""Core's own simulation: random pipelines with random faults under random schedules, judged by rules of the design.

    generator  makes a scenario of a seed: a graph, what each stage does, what the world outside does
    scenario   is that scenario, as plain data that can be printed, compared and made smaller
    stages     do what the scenario says, and tell the trace
    world      runs a scenario in simulated time, in an order of tasks that the seed chooses, and records what it sees
    replay     goes through the trace as a spectator who knows the design, not the executor, and says what must follow
    invariants compare that with what the run said and did, one rule each
    judging    puts these together: one seed in, what it violates out
    references are pipelines by hand, which are cancelled at every step that they take
    composed   has all of this for streams, maps, children and limits, with rules that need no prediction
    kinds      says which seed is a scenario of which kind
    mutants    are bugs to plant in the executor, each of which has to be found

`make simulate` tries many seeds, `make simulate ARGS="--seed 1234"` shows one, `make simulate-mutants` plants the bugs.
"""

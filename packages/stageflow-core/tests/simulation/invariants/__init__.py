"""What must hold for every run, whatever its stages do: a function for each rule, which yields what breaks it.

Each takes the run as it was seen, and its replay. The numbers in their docstrings are those of the design's rules.
"""

from simulation.invariants import ends, events, order, outcomes, records

INVARIANTS = (*order.INVARIANTS, *outcomes.INVARIANTS, *ends.INVARIANTS, *events.INVARIANTS, *records.INVARIANTS)

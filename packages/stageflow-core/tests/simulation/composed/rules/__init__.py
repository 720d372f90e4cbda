"""What must hold of composed runs in any order of their tasks: a function for each rule, which yields what breaks it.

Each takes the account of one run, or those of `SHARED` the world of all. The numbers in their docstrings are those of
the design's rules.
"""

from simulation.composed.rules import children, ends, events, maps, order, permits, records, streams

RULES = (*order.RULES, *ends.RULES, *events.RULES, *streams.RULES, *maps.RULES, *children.RULES)
SHARED = (*permits.RULES, *records.SHARED)

"""Where a child run comes from."""

from __future__ import annotations

from stageflow.context.parent import ParentStage


def test_a_chain_leads_from_the_first_run_to_the_child() -> None:
    """One stage for each run on the way, and the child lies one deeper."""
    first = ParentStage("r", "outer", "a", "r:a/inner")
    second = ParentStage("s", "inner", "b", "r:a/inner:b/leaf", first)
    assert (("outer.a",), 2) == (first.chain, first.depth)
    assert (("outer.a", "inner.b"), 3) == (second.chain, second.depth)

"""What a run store is told, and what that does to the run: nothing."""

from simulation.stores import ENDS


def the_store_is_told_in_order(run, replay):
    """Its creation, that it runs, how it ended: each once, in this order, whatever becomes of the others."""
    if run.store is None:
        return
    tried = run.store.tried
    if tried[:2] != ["created", "running"] or len(tried) != 3 or tried[2] not in ENDS:
        yield f"the store was told {tried}"
    elif run.results is not None and tried[2] != run.results.status:
        yield f"the store was told that the run {tried[2]}, and it {run.results.status}"


def what_the_store_does_not_keep_is_counted(run, replay):
    """records_lost is what it refused, or did not take in time; what is not lost is there."""
    if run.store is None:
        return
    if len(run.store.kept) + run.store.lost != 3:
        yield f"the store has {run.store.kept}, and lost {run.store.lost}"
    if run.results is not None and run.results.records_lost != run.store.lost:
        yield f"{run.results.records_lost} records are counted as lost, and it is {run.store.lost}"


def the_last_event_comes_after_the_last_record(run, replay):
    """Whoever hears of the end finds it in the store."""
    if run.store is None or run.told_before_the_end is None:
        return
    if run.told_before_the_end != 3:
        yield f"the store had been told {run.told_before_the_end} things when the last event came"


INVARIANTS = (
    the_store_is_told_in_order,
    what_the_store_does_not_keep_is_counted,
    the_last_event_comes_after_the_last_record,
)

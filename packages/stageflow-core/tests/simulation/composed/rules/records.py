"""What a run store is told of a tree of runs."""

from simulation.stores import ENDS


def each_run_is_told_in_order(world):
    """Its creation, that it runs, how it ended: each once, unless nobody had time left for it."""
    if world.records is None:
        return
    for run_id, tried in world.records.tried.items():
        kinds = ["end" if status in ENDS else status for status in tried]
        whole = ["created", "running", "end"]
        if kinds != [kind for kind in whole if kind in kinds]:
            yield f"of run {run_id} the store was told {tried}"
    for run in world.runs_by_number:
        tried = world.records.tried.get(run.run_id, [])
        if run.results is not None and tried[2:] and tried[2] != run.results.status:
            yield f"the store was told that a run {tried[2]}, and it {run.results.status}"


def what_is_not_kept_is_counted_at_the_root(world):
    """Of all runs of its tree."""
    if world.records is None:
        return
    records = world.records
    begun = {run.run_id for run in world.runs_by_number if run.events or run.stays} | records.tried.keys()
    for root in world.roots:
        if root.results is None:
            continue
        of_it = [run_id for run_id in begun if _root_of(world, run_id) == root.run_id]
        missing = sum(3 - len(records.kept.get(run_id, ())) for run_id in of_it)
        lost = root.results.records_lost
        if missing > lost or (missing < lost and root.events):
            yield f"{missing} records are missing, and {lost} are counted as lost"


def _root_of(world, run_id):
    """Return the id of the first run of a run's tree, though no stage of that run may ever have begun."""
    while (parent := _parent_of(world, run_id)) is not None:
        run_id = parent
    return world.records.root_of(run_id)


def _parent_of(world, run_id):
    run = world.runs.get(run_id)
    if run is None:
        return None
    if run.call is not None:
        return world.runs_by_number[run.call.stay.run].run_id
    return next((event["parent_run_id"] for _, event in run.events), None)


SHARED = (each_run_is_told_in_order, what_is_not_kept_is_counted_at_the_root)

"""Which benchmarks there are, in the order of the table."""

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from benchmarks.children import child_rows
from benchmarks.effort import Effort
from benchmarks.executing import interceptor_rows, option_rows, sink_rows, store_rows, workload_rows
from benchmarks.footprint import flat_rows, import_rows, memory_rows
from benchmarks.growing import build_rows, run_growth_rows
from benchmarks.holding import hold_rows
from benchmarks.maps import map_rows
from benchmarks.report import Row
from benchmarks.streams import stream_rows
from benchmarks.workloads import workloads

Benchmark = Callable[[Effort], Coroutine[Any, Any, list[Row]]]


def benchmarks() -> Mapping[str, Benchmark]:
    """Map the name that `--only` takes to what measures it."""
    return {
        **{workload.key: partial(workload_rows, key=workload.key) for workload in workloads()},
        "interceptor": interceptor_rows,
        "option": option_rows,
        "sink": sink_rows,
        "store": store_rows,
        "stream": stream_rows,
        "map": map_rows,
        "child": child_rows,
        "growth": run_growth_rows,
        "memory": memory_rows,
        "flat": flat_rows,
        "import": import_rows,
        "hold": hold_rows,
        "build": build_rows,
    }

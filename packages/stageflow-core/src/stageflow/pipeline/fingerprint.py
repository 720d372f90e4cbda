"""What tells one plan from another that would run something else."""

from __future__ import annotations

from binascii import crc32
from collections.abc import Sequence
from typing import Any

from stageflow.execution.plan import PlanNode
from stageflow.pipeline.spec import StageSpec
from stageflow.validation.hints import type_text


def fingerprint(specs: Sequence[StageSpec[Any]], nodes: Sequence[PlanNode], options: Any) -> dict[str, str]:
    """Return a checksum for each stage, of its kind, edges, options and version; under "", one of the pipeline.

    They are equal in every process for the same pipeline. Code is no part of it: whoever changes what a stage does
    tells by its `version=`.
    """
    hashes = {spec.name: _hash(_stage(spec, node)) for spec, node in zip(specs, nodes, strict=True)}
    return {"": _hash(options), **hashes}


def _hash(told: tuple[Any, ...]) -> str:
    # It tells apart what differs by accident, not by intent. hashlib would cost a twentieth of importing this package.
    return f"{crc32(repr(told).encode()):08x}"


def _stage(spec: StageSpec[Any], node: PlanNode) -> tuple[Any, ...]:
    return (
        spec.kind.value,
        sorted(node.declared),  # what was given as a set comes in another order in another process
        sorted(name for name, index in node.declared.items() if index in node.optional),
        spec.when is not None,
        spec.join,
        sorted((spec.route or {}).items()),
        sorted(spec.routes),
        sorted(spec.terminal_routes),
        _policy(spec),
        spec.timeout,
        spec.deadline,
        spec.critical,
        None if spec.output is None else type_text(spec.output),
        spec.version,
        sorted((name, index in node.optional) for name, index in node.streams.items()),
        None if spec.stream is None else (spec.stream.capacity, spec.stream.on_full),
        spec.map_over,
        spec.map_concurrency,
        spec.limit,
        spec.priority,
    )


def _policy(spec: StageSpec[Any]) -> tuple[Any, ...] | None:
    policy = spec.retry
    if policy is None:
        return None
    kinds: Any = policy.retry_on
    names = sorted(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
    return policy.max_attempts, policy.base_delay, policy.max_delay, policy.jitter, names

"""What tells one plan from another that would run something else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from stageflow.execution.plan import PlanNode
from stageflow.pipeline.spec import StageSpec


def fingerprint(specs: Sequence[StageSpec[Any]], nodes: Sequence[PlanNode], options: Any) -> str:
    """Return a hash of names, kinds, edges, options and versions: equal in every process for the same pipeline.

    Code is no part of it: whoever changes what a stage does tells by its `version=`.
    """
    digest = hashlib.sha256(repr(options).encode())
    for spec, node in zip(specs, nodes, strict=True):
        digest.update(repr(_stage(spec, node)).encode())
    return digest.hexdigest()


def _stage(spec: StageSpec[Any], node: PlanNode) -> tuple[Any, ...]:
    return (
        spec.name,
        spec.kind.value,
        sorted(node.declared),  # what was given as a set comes in another order in another process
        sorted(node.optional),
        spec.when is not None,
        spec.join,
        sorted((spec.route or {}).items()),
        sorted(spec.routes),
        sorted(spec.terminal_routes),
        _policy(spec),
        spec.timeout,
        spec.deadline,
        spec.critical,
        None if spec.output is None else getattr(spec.output, "__qualname__", repr(spec.output)),
        spec.version,
    )


def _policy(spec: StageSpec[Any]) -> tuple[Any, ...] | None:
    policy = spec.retry
    if policy is None:
        return None
    kinds: Any = policy.retry_on
    names = sorted(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
    return policy.max_attempts, policy.base_delay, policy.max_delay, policy.jitter, names

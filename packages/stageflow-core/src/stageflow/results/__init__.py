"""What a stage of each kind returns, as types: a stage may return one of these in place of a mapping.

Each is a contract value: a stage may be annotated with it, a dependent's parameter too, and it comes back from JSON.
What their fields hold is fixed in docs/reference/stage-kinds.md.
"""

from stageflow.results.agent import AgentResult
from stageflow.results.base import TypedResult
from stageflow.results.content import EnrichResult, TransformResult, WorkResult
from stageflow.results.decisions import GuardResult, RouteResult

__all__ = [
    "AgentResult",
    "EnrichResult",
    "GuardResult",
    "RouteResult",
    "TransformResult",
    "TypedResult",
    "WorkResult",
]

"""What can be put around every stage of a pipeline: the chain, and the interceptors that come with core.

Most of them are at home in `stageflow` itself. `IdempotencyInterceptor` is in `stageflow.interceptors.idempotency`, and
its store in `idempotency_memory`, since not every program is to pay for the hashes that they need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stageflow.lazy_names import names_from

if TYPE_CHECKING:
    from stageflow.interceptors.policy import PolicyInterceptor
else:
    __getattr__, __dir__ = names_from(__name__, {"stageflow.interceptors.policy": ("PolicyInterceptor",)})

__all__ = ["PolicyInterceptor"]

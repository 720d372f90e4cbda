"""What can be put around every stage of a pipeline: the chain, and the interceptors that come with core.

Most of them are at home in `stageflow` itself. `IdempotencyInterceptor` is in `stageflow.interceptors.idempotency`, and
its store in `idempotency_memory`, since not every program is to pay for the hashes that they need.
"""

from stageflow.interceptors.policy import PolicyInterceptor

__all__ = ["PolicyInterceptor"]

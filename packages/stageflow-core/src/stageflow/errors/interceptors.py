"""What goes wrong in what runs around a stage."""

from __future__ import annotations

from stageflow.errors.stage import StageError


class CircuitOpenError(StageError):
    """A stage did not run, because what it calls has failed too often.

    Attributes:
        circuit: The name of the circuit.
        retry_after: Seconds after which it may be let through.
    """

    code = "circuit-open"

    def __init__(self, stage: str, circuit: str, *, retry_after: float) -> None:
        super().__init__(
            f"Stage '{stage}' did not run: the circuit '{circuit}' is open, and lets nothing through for another "
            f"{retry_after:g} s.",
            stage=stage,
            hint="It opened because what it guards failed several times in a row: look at those failures.",
        )
        self.circuit = circuit
        self.retry_after = retry_after


class PolicyDeniedError(StageError):
    """A stage did not run, because a policy denied it.

    Attributes:
        action: What was to be done.
        reason: Why not, as the policy says.
    """

    code = "policy-denied"

    def __init__(self, stage: str, action: str, reason: str) -> None:
        super().__init__(f"Stage '{stage}' did not run: the policy denies '{action}': {reason}", stage=stage)
        self.action = action
        self.reason = reason


class IdempotencyConflictError(StageError):
    """A stage did not run, because its idempotency key was used before with other parameters.

    `key` is that key, as the application gave it.
    """

    code = "idempotency-conflict"

    def __init__(self, stage: str, key: str) -> None:
        super().__init__(
            f"Stage '{stage}' did not run: its idempotency key '{key}' stands for other parameters than these.",
            stage=stage,
            hint="Give each piece of work a key of its own, or say by `parameters=` what makes two pieces the same.",
        )
        self.key = key


class InterceptorError(StageError):
    """A hook of an interceptor raised, took too long, or returned the wrong thing: the stage fails, whatever it did.

    `__cause__` is what the hook raised, if it raised.

    Attributes:
        interceptor: The interceptor's name.
        hook: `before`, `around`, `after`, `on_error` or `fallback`.
        problem: What was wrong with it.
    """

    code = "interceptor"

    def __init__(self, stage: str, interceptor: str, hook: str, problem: str, *, hint: str | None = None) -> None:
        super().__init__(
            f"Stage '{stage}' failed: `{hook}` of its interceptor '{interceptor}' {problem}.", stage=stage, hint=hint
        )
        self.interceptor = interceptor
        self.hook = hook
        self.problem = problem

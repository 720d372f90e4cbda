"""Every error that Stageflow raises for a reason of its own.

    StageflowError
    ├── PipelineValidationError        the graph is wrong: raised before anything runs
    │   ├── ContractMismatchError      what a parameter reads can never be of the type that it is annotated with
    │   ├── CycleDetectedError
    │   ├── DuplicateStageError        (by the builder call that repeats the name)
    │   ├── EmptyPipelineError
    │   ├── InvalidOptionError         an option cannot be what it is (also a ValueError)
    │   ├── InvalidRouteError          a route leads nowhere, or comes from nowhere
    │   ├── InvalidInterceptorError    what was given as an interceptor is none
    │   ├── InvalidStageError          the runner is not a stage, or its parameters cannot be read
    │   ├── InvalidStageNameError
    │   ├── InvalidStreamError         a stream leads from no stream, or could only come to a halt
    │   ├── OverlappingDependencyError
    │   ├── SelfDependencyError
    │   └── UnknownDependencyError
    ├── StageError                     one stage of a run did something wrong
    │   ├── AmbiguousInputError
    │   ├── CircuitOpenError           a circuit breaker keeps the stage from running
    │   ├── ConditionError             a `when` returned neither True nor False (also a TypeError)
    │   ├── IdempotencyConflictError   a key was used for other parameters
    │   ├── InterceptorError           a hook of an interceptor raised, hung, or returned the wrong thing
    │   ├── ItemSuspendedError         an item of a mapped stage returned `suspend()`
    │   ├── MapItemError               an item of a mapped stage failed
    │   ├── MapSourceError             what a stage is mapped over is no sequence of items (also a TypeError)
    │   ├── MissingInputError          (also a KeyError)
    │   ├── MissingPortError           the run was not given something that a stage needs (also an AttributeError)
    │   ├── NoStreamError              a stream was asked of a stage that does not stream
    │   ├── StageContractError         a stage returned something else than it declares (also a TypeError)
    │   ├── NotMappedError             `ctx.item` of a stage without `map_over`
    │   ├── PolicyDeniedError          a policy keeps the stage from running
    │   ├── StageExecutionError        what a run raises when a stage failed
    │   ├── StageReturnTypeError       (also a TypeError)
    │   ├── StageOutcomeError          a value was asked of a stage that has none
    │   ├── StageTimeoutError          a limit of a stage ran out (also a TimeoutError)
    │   ├── StreamBrokenError          a stage that streams did not end OK
    │   ├── StreamFullError            a reader fell too far behind
    │   ├── StreamSuspendedError       a stage that streams, or reads a stream, asked for a decision
    │   ├── MissingRetryPolicyError    `retry()` of a stage that has no RetryPolicy
    │   ├── UndeclaredDependencyError
    │   ├── StageReturnedFailure       stands for a returned `StageOutput.fail("...")` where an exception is needed
    │   └── UndeclaredRouteError       a router chose what is not among its routes
    ├── DuplicateExtensionError        an extension registry has the key already (also a ValueError)
    ├── ExtensionMismatchError         what stands under a key is not of its type (also a TypeError)
    ├── InvalidExtensionTypeError      a type that no extension can have (also a TypeError)
    ├── UnknownExtensionError          there is nothing under that key (also a KeyError)
    ├── DuplicatePipelineError         two pipelines were to have one name in a registry
    ├── EntryPointError                an entry point of a distribution gave no pipeline
    ├── InvalidEventIdError            a client wants to go on after an event that has not been (also a ValueError)
    ├── InputContractError             a run's input is not what its pipeline takes (also a TypeError)
    ├── LimitDeadlockError             a child would wait for permits while one is held until it ends
    ├── NotAPipelineError              what was to be registered is no pipeline (also a TypeError)
    ├── PipelineCancelled              a run ended by a stage's `cancel()` or by `PipelineRun.cancel`
    ├── PipelineDepthError             runs lie too deep within each other
    ├── PipelineDiscoveryError         some pipelines of installed distributions could not be registered
    ├── PipelineSuspended              a run waits for a human's decision
    ├── PipelineTimeoutError           a run took longer than it may (also a TimeoutError)
    ├── ProjectionError                a MessageProjector raised, or gave what cannot be sent
    ├── ProtocolMismatchError          what was plugged in does not fit its protocol (also a TypeError)
    ├── ProviderError                  a model provider did not give a usable answer; `fault` says what may be done
    │   ├── ProviderTransientError     the same call may work later
    │   │   ├── ProviderProtocolError  an answer that is cut off, empty or not an answer
    │   │   ├── ProviderRateLimited    429: `retry_after` says how long to wait
    │   │   ├── ProviderServerError    5xx, or an error in the middle of a stream
    │   │   ├── ProviderTimeout        silence for longer than the client waits (also a TimeoutError)
    │   │   └── ProviderUnreachable    no connection, or it broke
    │   └── ProviderPermanentError     the same call would fail again
    │       ├── ProviderAuthError      401, 403: the key
    │       ├── ProviderContentRefused the provider will not answer this content
    │       └── ProviderRequestError   any other 4xx: the request itself
    ├── ResultMismatchError            an output does not hold what a typed result holds (also a TypeError)
    ├── ResumeError                    a run cannot be resumed with these results or decisions (also a ValueError)
    ├── ToolArgumentsError             a model wrote arguments that are no JSON object (also a ValueError)
    ├── TooLateError                   something was asked of a run that has begun (also a RuntimeError)
    ├── NotCopyableError               data that stages share can be neither frozen nor copied (also a TypeError)
    ├── ForeignLoopError               two event loops use at once what belongs to one (also a RuntimeError)
    ├── LimitTooSmallError             more permits are needed at once than there are
    ├── UnknownPipelineError           a registry has no pipeline of that name (also a KeyError)
    ├── UnknownLimitError              a stage takes permits of a limit that the run was not given
    ├── UnknownStageError              results were asked for a stage that the plan does not have (also a KeyError)
    └── SerializationError             data cannot go to or come from JSON (also a ValueError)
        └── SchemaVersionError

Each class has a `code`, which is also the heading of its section in docs/reference/errors.md. What ends a run has a
`chain`: the stages that led to it, from the first run on, through children. Each instance has its
data as attributes and survives pickling: a cause that cannot be pickled becomes an `UnpicklableCause`; results, an
output or completed items that cannot be pickled become None, and a note says why.
"""

from __future__ import annotations

from stageflow.errors.base import (
    RunResults,
    StageflowError,
    UnpicklableCause,
    picklable,
)
from stageflow.errors.data import (
    InputContractError,
    NotCopyableError,
    ResultMismatchError,
    SchemaVersionError,
    SerializationError,
)
from stageflow.errors.extensions import (
    DuplicateExtensionError,
    ExtensionMismatchError,
    InvalidExtensionTypeError,
    UnknownExtensionError,
)
from stageflow.errors.graph import (
    ContractMismatchError,
    CycleDetectedError,
    DuplicateStageError,
    EmptyPipelineError,
    InvalidInterceptorError,
    InvalidOptionError,
    InvalidRouteError,
    InvalidStageError,
    InvalidStageNameError,
    InvalidStreamError,
    OverlappingDependencyError,
    PipelineValidationError,
    SelfDependencyError,
    UnknownDependencyError,
)
from stageflow.errors.interceptors import (
    CircuitOpenError,
    IdempotencyConflictError,
    InterceptorError,
    PolicyDeniedError,
)
from stageflow.errors.limits import (
    LimitDeadlockError,
    LimitTooSmallError,
    UnknownLimitError,
)
from stageflow.errors.plugging import (
    MissingPortError,
    ProtocolMismatchError,
)
from stageflow.errors.projection import (
    InvalidEventIdError,
    ProjectionError,
)
from stageflow.errors.providers import (
    ProviderAuthError,
    ProviderContentRefused,
    ProviderError,
    ProviderPermanentError,
    ProviderProtocolError,
    ProviderRateLimited,
    ProviderRequestError,
    ProviderServerError,
    ProviderTimeout,
    ProviderTransientError,
    ProviderUnreachable,
    ToolArgumentsError,
)
from stageflow.errors.registry import (
    DuplicatePipelineError,
    EntryPointError,
    NotAPipelineError,
    PipelineDiscoveryError,
    UnknownPipelineError,
)
from stageflow.errors.run import (
    ForeignLoopError,
    PipelineCancelled,
    PipelineDepthError,
    PipelineSuspended,
    PipelineTimeoutError,
    ResumeError,
    TooLateError,
    UnknownStageError,
)
from stageflow.errors.stage import (
    AmbiguousInputError,
    ConditionError,
    MissingInputError,
    MissingRetryPolicyError,
    StageContractError,
    StageError,
    StageExecutionError,
    StageOutcomeError,
    StageReturnedFailure,
    StageReturnTypeError,
    StageTimeoutError,
    UndeclaredDependencyError,
    UndeclaredRouteError,
)
from stageflow.errors.streams import (
    ItemSuspendedError,
    MapItemError,
    MapSourceError,
    NoStreamError,
    NotMappedError,
    StreamBrokenError,
    StreamFullError,
    StreamSuspendedError,
)

__all__ = [
    "AmbiguousInputError",
    "CircuitOpenError",
    "ConditionError",
    "ContractMismatchError",
    "CycleDetectedError",
    "DuplicateExtensionError",
    "DuplicatePipelineError",
    "DuplicateStageError",
    "EmptyPipelineError",
    "EntryPointError",
    "ExtensionMismatchError",
    "ForeignLoopError",
    "IdempotencyConflictError",
    "InputContractError",
    "InterceptorError",
    "InvalidEventIdError",
    "InvalidExtensionTypeError",
    "InvalidInterceptorError",
    "InvalidOptionError",
    "InvalidRouteError",
    "InvalidStageError",
    "InvalidStageNameError",
    "InvalidStreamError",
    "ItemSuspendedError",
    "LimitDeadlockError",
    "LimitTooSmallError",
    "MapItemError",
    "MapSourceError",
    "MissingInputError",
    "MissingPortError",
    "MissingRetryPolicyError",
    "NoStreamError",
    "NotAPipelineError",
    "NotCopyableError",
    "NotMappedError",
    "OverlappingDependencyError",
    "PipelineCancelled",
    "PipelineDepthError",
    "PipelineDiscoveryError",
    "PipelineSuspended",
    "PipelineTimeoutError",
    "PipelineValidationError",
    "PolicyDeniedError",
    "ProjectionError",
    "ProtocolMismatchError",
    "ProviderAuthError",
    "ProviderContentRefused",
    "ProviderError",
    "ProviderPermanentError",
    "ProviderProtocolError",
    "ProviderRateLimited",
    "ProviderRequestError",
    "ProviderServerError",
    "ProviderTimeout",
    "ProviderTransientError",
    "ProviderUnreachable",
    "ResultMismatchError",
    "ResumeError",
    "RunResults",
    "SchemaVersionError",
    "SelfDependencyError",
    "SerializationError",
    "StageContractError",
    "StageError",
    "StageExecutionError",
    "StageOutcomeError",
    "StageReturnTypeError",
    "StageReturnedFailure",
    "StageTimeoutError",
    "StageflowError",
    "StreamBrokenError",
    "StreamFullError",
    "StreamSuspendedError",
    "TooLateError",
    "ToolArgumentsError",
    "UndeclaredDependencyError",
    "UndeclaredRouteError",
    "UnknownDependencyError",
    "UnknownExtensionError",
    "UnknownLimitError",
    "UnknownPipelineError",
    "UnknownStageError",
    "UnpicklableCause",
    "picklable",
]

# They are known by the module that they are imported from, wherever in here they are written.
for _name in __all__:
    globals()[_name].__module__ = __name__

"""The error tree: codes, messages, attributes, pickling."""

from __future__ import annotations

import builtins
import copy
import inspect
import pickle
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from stageflow import Pipeline, StageContext, StageOutput, errors
from stageflow.errors import (
    AmbiguousInputError,
    CircuitOpenError,
    ConditionError,
    ContractMismatchError,
    CycleDetectedError,
    DuplicateExtensionError,
    DuplicatePipelineError,
    DuplicateStageError,
    EmptyPipelineError,
    EntryPointError,
    ExtensionMismatchError,
    ForeignLoopError,
    IdempotencyConflictError,
    InputContractError,
    InterceptorError,
    InvalidEventIdError,
    InvalidExtensionTypeError,
    InvalidInterceptorError,
    InvalidOptionError,
    InvalidRouteError,
    InvalidStageError,
    InvalidStageNameError,
    InvalidStreamError,
    ItemSuspendedError,
    LimitDeadlockError,
    LimitTooSmallError,
    MapItemError,
    MapSourceError,
    MissingInputError,
    MissingPortError,
    MissingRetryPolicyError,
    NoStreamError,
    NotAPipelineError,
    NotCopyableError,
    NotMappedError,
    OverlappingDependencyError,
    PipelineCancelled,
    PipelineDepthError,
    PipelineDiscoveryError,
    PipelineSuspended,
    PipelineTimeoutError,
    PipelineValidationError,
    PolicyDeniedError,
    ProjectionError,
    ProtocolMismatchError,
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
    ResultMismatchError,
    ResumeError,
    SchemaVersionError,
    SelfDependencyError,
    SerializationError,
    StageContractError,
    StageError,
    StageExecutionError,
    StageflowError,
    StageOutcomeError,
    StageReturnedFailure,
    StageReturnTypeError,
    StageTimeoutError,
    StreamBrokenError,
    StreamFullError,
    StreamSuspendedError,
    ToolArgumentsError,
    TooLateError,
    UndeclaredDependencyError,
    UndeclaredRouteError,
    UnknownDependencyError,
    UnknownExtensionError,
    UnknownLimitError,
    UnknownPipelineError,
    UnknownStageError,
    UnpicklableCause,
)

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, StageflowError) and value.__module__ == errors.__name__
]


async def failing(ctx: StageContext) -> None:
    """Fail with an exception of Python's own."""
    raise ValueError("no such user")


async def answering(ctx: StageContext) -> dict[str, int]:
    """Answer."""
    return {"answer": 42}


def run_results() -> Any:
    """Return the results of a run with one stage."""
    return Pipeline("chat").with_stage("a", answering).run_sync()


def execution_error() -> StageExecutionError:
    """Return what a run with one failing stage raises."""
    with pytest.raises(StageExecutionError) as caught:
        Pipeline("chat").with_stage("a", failing).run_sync()
    return caught.value


# For each class: how to make one, its message word for word, and its attributes.
EXAMPLES: dict[type[StageflowError], tuple[Callable[[], StageflowError], str, dict[str, Any]]] = {
    StageflowError: (
        lambda: StageflowError("It broke.", hint="Mend it."),
        "It broke. Mend it.",
        {"message": "It broke.", "hint": "Mend it."},
    ),
    PipelineValidationError: (
        lambda: PipelineValidationError("It is wrong.", stage="a", hint="Right it."),
        "It is wrong. Right it.",
        {"message": "It is wrong.", "hint": "Right it.", "stage": "a"},
    ),
    ContractMismatchError: (
        lambda: ContractMismatchError("reply", "memory", "memory", expected="Profile", found="Memory"),
        (
            "Stage 'reply' takes 'memory' as Profile, and 'memory' returns Memory. Annotate 'memory' with Memory, or "
            "with Mapping[str, Any] to read its data; or mend what is declared there."
        ),
        {"stage": "reply", "parameter": "memory", "dependency": "memory", "expected": "Profile", "found": "Memory"},
    ),
    CycleDetectedError: (
        lambda: CycleDetectedError(["a", "b", "a"], pipeline="chat"),
        "Pipeline 'chat' has a cycle: a -> b -> a. Remove one of these dependencies.",
        {"path": ("a", "b", "a"), "stage": "a"},
    ),
    DuplicateStageError: (
        lambda: DuplicateStageError("a", pipeline="chat", differing=["runner", "kind"]),
        (
            "Pipeline 'chat' already has a stage 'a' with another runner, kind. "
            "Give one of them another name: .named('a_2') or with_stage('a_2', ...)."
        ),
        {"stage": "a", "differing": ("runner", "kind")},
    ),
    EmptyPipelineError: (
        lambda: EmptyPipelineError(pipeline="chat"),
        (
            "Pipeline 'chat' has no stages. Add one with .with_stage(name, runner), or keep what it returned: a "
            "builder call returns a new Pipeline and leaves the old one as it is."
        ),
        {"stage": None},
    ),
    InvalidInterceptorError: (
        lambda: InvalidInterceptorError("It is a class.", interceptor="'auth'", hint="Write Auth()."),
        "It is a class. Write Auth().",
        {"interceptor": "'auth'", "stage": None},
    ),
    InterceptorError: (
        lambda: InterceptorError("a", "auth", "before", "raised ValueError", hint="Mend it."),
        "Stage 'a' failed: `before` of its interceptor 'auth' raised ValueError. Mend it.",
        {"stage": "a", "interceptor": "auth", "hook": "before", "problem": "raised ValueError"},
    ),
    StageReturnedFailure: (
        lambda: StageReturnedFailure("a", "no such user", output=StageOutput.fail("no such user")),
        "Stage 'a' returned a failure: no such user",
        {"stage": "a", "output": StageOutput.fail("no such user")},
    ),
    InvalidOptionError: (
        lambda: InvalidOptionError("timeout", "is a number of seconds, above 0, not 0", stage="a", hint="Raise it."),
        "timeout of stage 'a' is a number of seconds, above 0, not 0. Raise it.",
        {"option": "timeout", "stage": "a"},
    ),
    InvalidRouteError: (
        lambda: InvalidRouteError(
            "b", "Stage 'b' is behind the route 'x'.", router="triage", route="x", hint="Its routes: y."
        ),
        "Stage 'b' is behind the route 'x'. Its routes: y.",
        {"stage": "b", "router": "triage", "route": "x"},
    ),
    InvalidStageError: (
        lambda: InvalidStageError("Stage 'a' is 5, which has no `execute`.", stage="a", hint="Give it one."),
        "Stage 'a' is 5, which has no `execute`. Give it one.",
        {"stage": "a"},
    ),
    InvalidStageNameError: (
        lambda: InvalidStageNameError("1st", pipeline="chat"),
        (
            "Pipeline 'chat' has a stage named '1st'. "
            "A name is a letter or underscore, then letters, digits, underscores and hyphens."
        ),
        {"stage": "1st"},
    ),
    OverlappingDependencyError: (
        lambda: OverlappingDependencyError("b", "a", pipeline="chat"),
        "Stage 'b' of pipeline 'chat' declares 'a' both as required and as optional. Keep one of the two.",
        {"stage": "b", "dependency": "a"},
    ),
    SelfDependencyError: (
        lambda: SelfDependencyError("a", pipeline="chat"),
        (
            "Stage 'a' of pipeline 'chat' depends on itself. Remove the dependency; what a stage knew earlier in the "
            "conversation belongs in the snapshot."
        ),
        {"stage": "a"},
    ),
    UnknownDependencyError: (
        lambda: UnknownDependencyError("b", "profle", pipeline="chat", stages=["profile"], note="Did you mean it? "),
        "Stage 'b' depends on 'profle', which is not in pipeline 'chat'. Did you mean it? Stages: profile.",
        {"stage": "b", "dependency": "profle"},
    ),
    StageError: (lambda: StageError("It broke.", stage="a"), "It broke.", {"stage": "a", "hint": None}),
    UndeclaredDependencyError: (
        lambda: UndeclaredDependencyError("b", "a", declared=["x"]),
        (
            "Stage 'b' read 'a' without declaring it (declared: x). "
            'To declare it, add to the stage, beside those that it has: dependencies=("a",)'
        ),
        {"stage": "b", "dependency": "a", "declared": ("x",)},
    ),
    UndeclaredRouteError: (
        lambda: UndeclaredRouteError("triage", "bilng", routes=["billing", "support"]),
        (
            "Stage 'triage' chose the route 'bilng'. Did you mean 'billing'? Its routes: billing, support. "
            "Return one of them: {'route': 'billing'}."
        ),
        {"stage": "triage", "route": "bilng", "routes": ("billing", "support")},
    ),
    CircuitOpenError: (
        lambda: CircuitOpenError("a", "groq", retry_after=12.5),
        (
            "Stage 'a' did not run: the circuit 'groq' is open, and lets nothing through for another 12.5 s. It opened "
            "because what it guards failed several times in a row: look at those failures."
        ),
        {"stage": "a", "circuit": "groq", "retry_after": 12.5},
    ),
    IdempotencyConflictError: (
        lambda: IdempotencyConflictError("a", "order-1"),
        (
            "Stage 'a' did not run: its idempotency key 'order-1' stands for other parameters than these. Give each "
            "piece of work a key of its own, or say by `parameters=` what makes two pieces the same."
        ),
        {"stage": "a", "key": "order-1"},
    ),
    PolicyDeniedError: (
        lambda: PolicyDeniedError("a", "pay", "over the limit"),
        "Stage 'a' did not run: the policy denies 'pay': over the limit",
        {"stage": "a", "action": "pay", "reason": "over the limit"},
    ),
    ConditionError: (
        lambda: ConditionError("a", [1]),
        ("The `when` of stage 'a' returned a list. Return True or False, for instance bool(...) of what it looks at."),
        {"stage": "a"},
    ),
    AmbiguousInputError: (
        lambda: AmbiguousInputError("c", "text", candidates=["a", "b"]),
        (
            "Stage 'c' asked for the key 'text', which 2 of its dependencies hold: a, b. "
            "Say which: inputs.get_from('a', 'text')."
        ),
        {"stage": "c", "key": "text", "candidates": ("a", "b")},
    ),
    MapSourceError: (
        lambda: MapSourceError("enrich", "rows", "items", problem="is a dict", hint="Return a list."),
        "Stage 'enrich' is mapped over the key 'items' of 'rows', which is a dict. Return a list.",
        {"stage": "enrich", "source": "rows", "key": "items", "problem": "is a dict", "completed": {}},
    ),
    MapItemError: (
        lambda: MapItemError("enrich", 3, "ValueError: no name", completed={0: {"a": 1}, 1: None}),
        (
            "Item 3 of stage 'enrich' failed: ValueError: no name. What the others had returned by then (2) is in "
            "`completed`. To go on without an item, let the stage return StageOutput.skip(...) for it."
        ),
        {
            "stage": "enrich",
            "index": 3,
            "completed": {0: {"a": 1}, 1: None},
            "without_values": "Item 3 of stage 'enrich' failed: ValueError: no name",
        },
    ),
    ItemSuspendedError: (
        lambda: ItemSuspendedError("enrich"),
        (
            "Stage 'enrich' suspended for one of the items that it is mapped over. Ask in a stage of its own, which "
            "comes before or after, and asks for all items at once."
        ),
        {"stage": "enrich"},
    ),
    NotMappedError: (
        lambda: NotMappedError("enrich"),
        (
            "Stage 'enrich' read ctx.item, and is not mapped. To run it once for each item, say what over: "
            'map_over=("chunks", "items").'
        ),
        {"stage": "enrich"},
    ),
    MissingPortError: (
        lambda: MissingPortError("reply", "llm", given=["lm", "stt"]),
        (
            "Stage 'reply' needs the port 'llm', which its run was not given. "
            "Did you mean 'lm'? The run has: lm, stt. Give it: run(ports=StagePorts(llm=...))."
        ),
        {"stage": "reply", "port": "llm", "given": ("lm", "stt")},
    ),
    ProtocolMismatchError: (
        lambda: ProtocolMismatchError(
            "The port 'llm'", "LLMProvider", 5, problems=["it has no `name`; expected: `name: str`"]
        ),
        "The port 'llm' is not an LLMProvider, but 5: it has no `name`; expected: `name: str`.",
        {
            "what": "The port 'llm'",
            "protocol": "LLMProvider",
            "problems": ("it has no `name`; expected: `name: str`",),
        },
    ),
    MissingInputError: (
        lambda: MissingInputError("b", "a", "nme", found=["name"], absent=None),
        (
            "Stage 'b' requires the key 'nme' from 'a', whose data has the keys name. "
            "Did you mean 'name'? Use get_from with a default if the key may be missing."
        ),
        {"stage": "b", "dependency": "a", "key": "nme"},
    ),
    StageContractError: (
        lambda: StageContractError(
            "a",
            contract="Reply",
            returned="a Reply",
            path="$.score",
            expected="float",
            found="a str ('high')",
            hint="Mend it.",
        ),
        "Stage 'a' returned a Reply whose $.score is a str ('high'); expected float. Mend it.",
        {"stage": "a", "contract": "Reply", "path": "$.score", "expected": "float", "found": "a str ('high')"},
    ),
    StageReturnTypeError: (
        lambda: StageReturnTypeError("a", "an int, which is not a stage's result"),
        (
            "Stage 'a' returned an int, which is not a stage's result. Return a mapping, a dataclass, pydantic or "
            "msgspec value, a StageOutput, or None: for a single value, return {'value': it}."
        ),
        {"stage": "a", "returned": "an int, which is not a stage's result"},
    ),
    StageExecutionError: (
        execution_error,
        "Stage 'a' of pipeline 'chat' failed: ValueError: no such user",
        {
            "stage": "a",
            "pipeline": "chat",
            "attempts": 1,
            "detail": "ValueError: no such user",
            "stage_code": None,
            "chain": ("chat.a",),
        },
    ),
    StageTimeoutError: (
        lambda: StageTimeoutError("a", limit="timeout", seconds=1.5),
        ("Stage 'a' ran out of time: an attempt took longer than its timeout of 1.5 s. Raise timeout=."),
        {"stage": "a", "limit": "timeout", "seconds": 1.5},
    ),
    InvalidStreamError: (
        lambda: InvalidStreamError(
            "a", "reads the stream of 'b', which has none", dependency="b", hint="Yield chunks."
        ),
        "Stage 'a' reads the stream of 'b', which has none. Yield chunks.",
        {"stage": "a", "dependency": "b"},
    ),
    NoStreamError: (
        lambda: NoStreamError("lm", pipeline="chat", streaming=("llm", "tts")),
        ("Stage 'lm' of pipeline 'chat' does not stream. Did you mean 'llm'? Those that stream: llm, tts."),
        {"stage": "lm", "streaming": ("llm", "tts")},
    ),
    StreamBrokenError: (
        lambda: StreamBrokenError("llm", "failed: ValueError: busy"),
        (
            "The stream of stage 'llm' broke: it failed: ValueError: busy. What has been read is what it yielded "
            "before; catch this error to make do with that."
        ),
        {"stage": "llm", "why": "failed: ValueError: busy"},
    ),
    StreamFullError: (
        lambda: StreamFullError("llm", "tts", capacity=3),
        (
            "Stage 'llm' yielded a chunk while 3 still wait for its reader 'tts'. Let it wait, or drop chunks: "
            "StreamOptions(on_full='block'), 'drop_oldest' or 'drop_newest'; or raise capacity=."
        ),
        {"stage": "llm", "reader": "tts", "capacity": 3},
    ),
    StreamSuspendedError: (
        lambda: StreamSuspendedError("llm"),
        (
            "Stage 'llm' is joined to others by a stream, and asked for a decision. Let a stage of its own ask before "
            "the stream begins: its chunks would be gone when the run resumes."
        ),
        {"stage": "llm"},
    ),
    InvalidEventIdError: (
        lambda: InvalidEventIdError("7", "it is of another run", run_id="r1"),
        (
            "Run r1 cannot go on after the event id '7': it is of another run. "
            "Refuse the request, or leave `after` out, to begin with the first message."
        ),
        {"event_id": "7", "problem": "it is of another run", "run_id": "r1"},
    ),
    ProjectionError: (
        lambda: ProjectionError("shop.Receipts", "raised KeyError", event_type="stage.a.started", hint="Mend it."),
        "shop.Receipts raised KeyError for the event 'stage.a.started'. Mend it.",
        {"projector": "shop.Receipts", "event_type": "stage.a.started"},
    ),
    NotAPipelineError: (
        lambda: NotAPipelineError("chat", 3),
        (
            "'chat' should be a Pipeline or a StageGraph, and is 3. "
            "Give Pipeline('name', [...]), or what its build() returned."
        ),
        {"name": "chat"},
    ),
    UnknownPipelineError: (
        lambda: UnknownPipelineError("chta", names=["chat", "voice"]),
        "There is no pipeline 'chta' in the registry. Did you mean 'chat'? Pipelines: chat, voice.",
        {"name": "chta", "names": ("chat", "voice")},
    ),
    DuplicatePipelineError: (
        lambda: DuplicatePipelineError("chat", sources=["the application", "acme (acme.chat:it)"]),
        (
            "More than one pipeline is called 'chat': from the application and from acme (acme.chat:it). "
            "Register one of them under another name."
        ),
        {"name": "chat", "sources": ("the application", "acme (acme.chat:it)")},
    ),
    EntryPointError: (
        lambda: EntryPointError("chat", "acme.chat:it", "acme", ZeroDivisionError("by zero")),
        (
            "The entry point 'chat' of acme (acme.chat:it) gave no pipeline (ZeroDivisionError: by zero). "
            "Mend or uninstall acme."
        ),
        {"name": "chat", "value": "acme.chat:it", "distribution": "acme"},
    ),
    PipelineDiscoveryError: (
        lambda: PipelineDiscoveryError([], registered=["voice"]),
        "Not every pipeline could be discovered. Registered: voice. Left out:",
        {"failures": (), "registered": ("voice",)},
    ),
    MissingRetryPolicyError: (
        lambda: MissingRetryPolicyError("a", "ValueError: busy"),
        (
            "Stage 'a' was to be tried again, and has no RetryPolicy. (It failed with: ValueError: busy) "
            "Give it one: retry=RetryPolicy(max_attempts=3)."
        ),
        {"stage": "a"},
    ),
    StageOutcomeError: (
        lambda: StageOutcomeError("b", status="SKIP", why="no need", origin="a"),
        "Stage 'b' has no value: it ended SKIP: no need (it began with 'a'). Ask results['b'].status first.",
        {"stage": "b", "status": "SKIP", "origin": "a"},
    ),
    InputContractError: (
        lambda: InputContractError(
            "chat", contract="Question", given="None", path="$", expected="Question", found="None", hint="Ask one."
        ),
        "The input of pipeline 'chat' is None; expected Question. Ask one.",
        {"pipeline": "chat", "contract": "Question", "path": "$", "expected": "Question", "found": "None"},
    ),
    PipelineCancelled: (
        lambda: PipelineCancelled(pipeline="chat", stage="a", reason="spam", results=run_results()),
        "Pipeline 'chat' was cancelled by stage 'a': spam",
        {"pipeline": "chat", "stage": "a", "reason": "spam"},
    ),
    PipelineSuspended: (
        lambda: PipelineSuspended(pipeline="chat", stages=["a", "b"], results=run_results()),
        (
            "Pipeline 'chat' is suspended until somebody decides for: a, b. "
            "Go on with run(resume=error.results, decisions={'a': ...})."
        ),
        {"pipeline": "chat", "stages": ("a", "b")},
    ),
    PipelineDepthError: (
        lambda: PipelineDepthError(pipeline="loop", chain=["chat.a", *["loop.again"] * 3], most=4),
        (
            "Pipeline 'loop' would lie 5 deep, and runs lie 4 deep at most: chat.a > loop.again (3 times). "
            "A pipeline that starts itself needs a case in which it does not; what repeats belongs in a loop."
        ),
        {"pipeline": "loop", "depth": 5, "most": 4, "chain": ("chat.a", "loop.again", "loop.again", "loop.again")},
    ),
    LimitDeadlockError: (
        lambda: LimitDeadlockError(pipeline="search", stage="a", holding="groq", limits=["web", "groq"]),
        (
            "Stage 'a' cannot run pipeline 'search', whose stages take permits of web, groq: a stage that it or one "
            "further up streams with holds a permit of 'groq' meanwhile. "
            "Run the child in a stage that streams with none, or without limit= on its stages."
        ),
        {"pipeline": "search", "stage": "a", "holding": "groq", "limits": ("web", "groq")},
    ),
    PipelineTimeoutError: (
        lambda: PipelineTimeoutError(pipeline="chat", seconds=0.5, running=["a"], results=run_results()),
        (
            "Pipeline 'chat' took longer than its timeout of 0.5 s. Running: a. "
            "Raise Pipeline(timeout=...), or limit the slow stages by timeout= or deadline=."
        ),
        {"pipeline": "chat", "limit": "timeout", "seconds": 0.5, "running": ("a",)},
    ),
    ProviderError: (
        lambda: ProviderError("It failed.", provider="p", hint="Look at its log."),
        "It failed. Look at its log.",
        {"provider": "p", "status": None, "request_id": None, "retry_after": None, "fault": "permanent"},
    ),
    ProviderTransientError: (
        lambda: ProviderTransientError("Not now.", provider="p"),
        "Not now.",
        {"provider": "p", "fault": "transient"},
    ),
    ProviderUnreachable: (
        lambda: ProviderUnreachable("No connection.", provider="p"),
        "No connection.",
        {"provider": "p", "fault": "transient"},
    ),
    ProviderTimeout: (
        lambda: ProviderTimeout("Silence.", provider="p"),
        "Silence.",
        {"provider": "p", "fault": "transient"},
    ),
    ProviderServerError: (
        lambda: ProviderServerError("It broke (503).", provider="p", status=503, request_id="r"),
        "It broke (503).",
        {"provider": "p", "status": 503, "request_id": "r", "fault": "transient"},
    ),
    ProviderProtocolError: (
        lambda: ProviderProtocolError("Half an answer.", provider="p", status=200),
        "Half an answer.",
        {"provider": "p", "status": 200, "fault": "transient"},
    ),
    ProviderRateLimited: (
        lambda: ProviderRateLimited("Too many.", provider="p", status=429, retry_after=2.5, hint="Try again in 2.5 s."),
        "Too many. Try again in 2.5 s.",
        {"provider": "p", "status": 429, "retry_after": 2.5, "fault": "rate_limit"},
    ),
    ProviderPermanentError: (
        lambda: ProviderPermanentError("Never.", provider="p"),
        "Never.",
        {"provider": "p", "fault": "permanent"},
    ),
    ProviderAuthError: (
        lambda: ProviderAuthError("Who are you?", provider="p", status=401),
        "Who are you?",
        {"provider": "p", "status": 401, "fault": "permanent"},
    ),
    ProviderRequestError: (
        lambda: ProviderRequestError("No such model.", provider="p", status=404),
        "No such model.",
        {"provider": "p", "status": 404, "fault": "permanent"},
    ),
    ProviderContentRefused: (
        lambda: ProviderContentRefused("Not that.", provider="p"),
        "Not that.",
        {"provider": "p", "fault": "content_refused"},
    ),
    ToolArgumentsError: (
        lambda: ToolArgumentsError("add", "call_1", "are not JSON (Expecting value)", position=7),
        (
            "The arguments of the call 'call_1' of tool 'add' are not JSON (Expecting value) at character 7. "
            "Answer the call with this text, so that the model can mend it, or ask again."
        ),
        {"tool": "add", "call_id": "call_1", "position": 7},
    ),
    ResumeError: (
        lambda: ResumeError("It cannot be resumed.", stage="a", hint="Run anew."),
        "It cannot be resumed. Run anew.",
        {"stage": "a"},
    ),
    UnknownStageError: (
        lambda: UnknownStageError("replly", pipeline="chat", stages=("a", "reply")),
        "Pipeline 'chat' has no stage 'replly'. Did you mean 'reply'? Stages: a, reply.",
        {"stage": "replly"},
    ),
    TooLateError: (lambda: TooLateError("It has begun."), "It has begun.", {}),
    ForeignLoopError: (
        lambda: ForeignLoopError("Queue"),
        (
            "This Queue is in use by another event loop, which is still running. "
            "Make one Queue for each event loop, and use it from that loop's thread only."
        ),
        {"what": "Queue"},
    ),
    LimitTooSmallError: (
        lambda: LimitTooSmallError("groq", needed=3, capacity=2, stages=("llm", "speech")),
        (
            "Stages llm, speech start together and need 3 permits of limit 'groq' at once, and there are 2. "
            "Raise it: Limits({'groq': 3}) or more."
        ),
        {"limit": "groq", "needed": 3, "capacity": 2, "stages": ("llm", "speech")},
    ),
    UnknownLimitError: (
        lambda: UnknownLimitError("grok", stage="reply", given=("groq", "tts")),
        (
            "Stage 'reply' takes permits of limit 'grok', which is not among those of the run. "
            "Did you mean 'groq'? They are: groq, tts."
        ),
        {"limit": "grok", "stage": "reply", "given": ("groq", "tts")},
    ),
    NotCopyableError: (
        lambda: NotCopyableError("data['lock']", threading.Lock()),
        (
            "data['lock'] is a _thread.lock, which cannot be copied. What stages share is frozen or copied for them; "
            "live objects (clients, locks, connections) belong in ports."
        ),
        {"path": "data['lock']", "kind": "_thread.lock"},
    ),
    ResultMismatchError: (
        lambda: ResultMismatchError(
            "RouteResult", "ROUTE", path="$.route", expected="str", found="missing", hint="Say it."
        ),
        ("The output is not a RouteResult, as a ROUTE stage may return it: $.route is missing; expected str. Say it."),
        {"result": "RouteResult", "kind": "ROUTE", "path": "$.route", "expected": "str", "found": "missing"},
    ),
    ExtensionMismatchError: (
        lambda: ExtensionMismatchError(
            "tenant", contract="Tenant", path="$.plan", expected="str", found="missing", hint="Say it."
        ),
        "The extension 'tenant' is no Tenant at $.plan: expected str, found missing. Say it.",
        {"key": "tenant", "contract": "Tenant", "path": "$.plan", "expected": "str", "found": "missing"},
    ),
    InvalidExtensionTypeError: (
        lambda: InvalidExtensionTypeError("Tenant", "has no fields", hint="Put @dataclass(frozen=True) above it."),
        "Tenant cannot be the type of an extension: it has no fields. Put @dataclass(frozen=True) above it.",
        {"type": "Tenant", "problem": "has no fields"},
    ),
    UnknownExtensionError: (
        lambda: UnknownExtensionError("tenat", of="the snapshot", known=["tenant"]),
        "There is no extension 'tenat' in the snapshot. Did you mean 'tenant'? It has: tenant.",
        {"key": "tenat", "known": ("tenant",)},
    ),
    DuplicateExtensionError: (
        lambda: DuplicateExtensionError("tenant", registered="a.Tenant", refused="b.Tenant"),
        (
            "The extension 'tenant' is registered as a.Tenant already, and cannot be b.Tenant as well. "
            "Give one of them another key, or register it in an ExtensionRegistry of its own."
        ),
        {"key": "tenant", "registered": "a.Tenant", "refused": "b.Tenant"},
    ),
    SerializationError: (
        lambda: SerializationError("$.a", "a set is not JSON."),
        "$.a: a set is not JSON.",
        {"path": "$.a", "problem": "a set is not JSON."},
    ),
    SchemaVersionError: (
        lambda: SchemaVersionError(3, 1),
        (
            "$.schema_version: this data has version 3, and this Stageflow reads up to version 1. "
            "Upgrade stageflow-core here."
        ),
        {"found": 3, "known": 1, "path": "$.schema_version"},
    ),
}


def test_every_error_has_an_example_here() -> None:
    """A new error class is not forgotten by the tests below."""
    assert set(CLASSES) == set(EXAMPLES)


def test_codes_are_unique() -> None:
    """A code names one class, since it is the heading of its section in the reference."""
    codes = [vars(cls).get("code") for cls in CLASSES]
    assert sorted(set(codes)) == sorted(codes)


def test_the_tree_in_the_docstring_is_complete() -> None:
    """The module's docstring draws every error below the class that it inherits from."""
    lines = [line for line in inspect.getdoc(errors).splitlines() if "─" in line or line.strip() == "StageflowError"]
    parents: list[str] = []
    drawn: dict[str, str] = {}
    for line in lines:
        name = line.strip("│├└─ ").split()[0]
        depth = line.index(name) // 4 - 1
        drawn[name] = parents[depth - 1] if depth else "Exception"
        parents[depth:] = [name]
    assert {cls.__name__: cls.__bases__[0].__name__ for cls in CLASSES} == drawn


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_the_message_says_what_where_and_what_to_do(cls: type[StageflowError]) -> None:
    """The text reads as a sentence, and its two halves are there as `message` and `hint`."""
    make, text, _ = EXAMPLES[cls]
    error = make()
    assert text == str(error)
    assert text == f"{error.message} {error.hint}" if error.hint else error.message


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_the_data_are_attributes(cls: type[StageflowError]) -> None:
    """Nobody has to parse a message for what an error is about."""
    make, _, attributes = EXAMPLES[cls]
    error = make()
    assert attributes == {name: getattr(error, name) for name in attributes}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_survives_pickling(cls: type[StageflowError]) -> None:
    """Class, text, attributes and cause are there on the other side."""
    error = EXAMPLES[cls][0]()
    cause = ZeroDivisionError("by zero")
    error.__cause__ = cause
    error.add_note("seen on Monday")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(error), str(error), error.args, error.code) == (type(copy), str(copy), copy.args, copy.code)
    assert {**vars(error), "results": None} == {**vars(copy), "results": None}
    assert (type(cause), cause.args) == (type(copy.__cause__), copy.__cause__.args)


@pytest.mark.parametrize(
    ("cls", "base"),
    [
        (InvalidOptionError, "ValueError"),
        (ConditionError, "TypeError"),
        (MissingInputError, "KeyError"),
        (MissingPortError, "AttributeError"),
        (ProtocolMismatchError, "TypeError"),
        (StageTimeoutError, "TimeoutError"),
        (PipelineTimeoutError, "TimeoutError"),
        (ResumeError, "ValueError"),
        (InputContractError, "TypeError"),
        (StageContractError, "TypeError"),
        (StageReturnTypeError, "TypeError"),
        (TooLateError, "RuntimeError"),
        (UnknownStageError, "KeyError"),
        (ResultMismatchError, "TypeError"),
        (ExtensionMismatchError, "TypeError"),
        (InvalidExtensionTypeError, "TypeError"),
        (UnknownExtensionError, "KeyError"),
        (DuplicateExtensionError, "ValueError"),
        (UnknownPipelineError, "KeyError"),
        (NotAPipelineError, "TypeError"),
        (InvalidEventIdError, "ValueError"),
        (NotCopyableError, "TypeError"),
        (SerializationError, "ValueError"),
    ],
)
def test_an_error_is_also_what_python_would_raise(cls: type[StageflowError], base: str) -> None:
    """Code that catches Python's own class catches ours."""
    assert issubclass(cls, getattr(builtins, base))


def test_an_unknown_limit_says_what_to_give_a_run_that_has_none() -> None:
    """All that are missing, as one argument that can be copied."""
    error = UnknownLimitError("groq", stage="reply", given=None, missing=("groq", "tts"))
    expected = (
        "Stage 'reply' takes permits of limit 'groq', and the run was given no limits. "
        "Give it some: run(limits=Limits({'groq': 8, 'tts': 8}))."
    )
    assert (expected, None) == (str(error), error.given)


def test_limits_that_are_asked_for_an_unknown_name_say_which_they_have() -> None:
    """Without a stage."""
    expected = "There is no limit 'grok'. Did you mean 'groq'? They are: groq."
    assert expected == str(UnknownLimitError("grok", given=("groq",)))


def test_permits_that_nobody_needs_together_are_too_many_all_the_same() -> None:
    """Whoever asks for them is not a stage."""
    error = LimitTooSmallError("groq", needed=3, capacity=2)
    assert str(error).startswith("There are needed 3 permits of limit 'groq' at once, and there are 2.")


def test_a_hint_of_spaces_is_no_hint() -> None:
    """No text ends in a stray space."""
    error = StageflowError("It broke.", hint=" ")
    assert ("It broke.", None) == (str(error), error.hint)


# --- pickling ----------------------------------------------------------------------------------------------------


class LockedError(Exception):
    """Cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("locked")
        self.lock = threading.Lock()


class ParticularError(Exception):
    """Is pickled, but cannot be read back, as its constructor takes another number of arguments."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first}, {second}")


@pytest.mark.parametrize(
    "cause", [LockedError(), ParticularError("one", "two")], ids=lambda cause: type(cause).__name__
)
def test_a_cause_that_cannot_be_pickled_is_described(cause: Exception) -> None:
    """The error still travels, and says what the cause was."""
    error = StageflowError("It broke.")
    error.__cause__ = cause
    copy = pickle.loads(pickle.dumps(error))
    assert UnpicklableCause is type(copy.__cause__)
    assert f"{__name__}.{type(cause).__name__}: {cause}" == str(copy.__cause__)


async def failing_locked(ctx: StageContext) -> None:
    """Fail with what cannot be pickled."""
    raise LockedError


def test_an_error_of_a_run_survives_although_its_results_hold_the_unpicklable_cause() -> None:
    """The results of the run keep the exception as well, and travel without it."""
    with pytest.raises(StageExecutionError) as caught:
        Pipeline("chat").with_stage("a", failing_locked).run_sync()
    copy = pickle.loads(pickle.dumps(caught.value))
    assert caught.value.results == copy.results
    assert UnpicklableCause is type(copy.results["a"].error.exception)


def test_an_error_that_is_copied_where_nobody_pickles_keeps_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be pickled need not be replaced, and pickle is not imported for it."""
    error = StageflowError("It broke.")
    error.__cause__ = LockedError()
    monkeypatch.delitem(sys.modules, "pickle")
    assert error.__cause__ is copy.copy(error).__cause__
    assert "pickle" not in sys.modules


def test_an_error_without_a_cause_has_none_after_pickling() -> None:
    """Nothing is made up."""
    assert None is pickle.loads(pickle.dumps(StageflowError("It broke."))).__cause__


def test_an_error_survives_although_its_results_cannot_be_pickled() -> None:
    """Results that hold an instance of a local class are left out, and a note says so."""

    @dataclass
    class Local:
        size: int

    async def local(ctx: StageContext) -> Local:
        return Local(1)

    with pytest.raises(StageExecutionError) as caught:
        Pipeline("chat").with_stage("l", local).with_stage("a", failing, dependencies="l").run_sync()
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(caught.value) == str(copy)
    assert None is copy.results
    assert ["Its results could not be pickled"] == [note.split(" (")[0] for note in copy.__notes__]
    assert None is not caught.value.results


def test_errors_that_are_each_others_fellows_survive_pickling() -> None:
    """Two stages that fail in one turn of the loop know each other through `failures`."""
    first, second = execution_error(), execution_error()
    first.failures = (first, second)
    copy = pickle.loads(pickle.dumps(first))
    assert copy is copy.failures[0]
    assert 2 == len(copy.failures)


def test_a_single_failure_is_its_own_fellow() -> None:
    """`failures` is never empty, so that a reader needs no second case."""
    error = execution_error()
    error.failures = (error,)
    assert (error,) == error.failures


def test_pickling_a_chain_of_errors_looks_at_each_once_or_twice() -> None:
    """A chain as deep as runs may nest is not tried anew at every level, which would take 2**16 tries."""
    looks = 0

    class Counting(Exception):
        def __reduce__(self) -> tuple[Any, ...]:
            nonlocal looks
            looks += 1
            return ValueError, ("deep",)

    chain: BaseException = Counting()
    for _ in range(16):
        error = StageflowError("It broke.")
        error.__cause__, chain = chain, error
    pickle.dumps(chain)
    assert 2 == looks


def test_pickling_results_within_results_is_quadratic_at_most() -> None:
    """Each level is tried once by each level above it, and not twice as often, which would take 2**16 tries."""
    looks = 0

    class Counting:
        def __reduce__(self) -> tuple[Any, ...]:
            nonlocal looks
            looks += 1
            return str, ("results",)

    inner: StageflowError | None = None
    for _ in range(16):
        error = StageflowError("It broke.")
        error.results = (Counting(), inner)
        inner = error
    pickle.dumps(inner)
    assert 16 * 17 // 2 + 16 == looks


# --- validation errors -------------------------------------------------------------------------------------------


def test_a_single_fault_is_its_own_list() -> None:
    """`faults` can be walked without asking how many there are."""
    fault = EmptyPipelineError(pipeline="chat")
    assert (fault,) == fault.faults
    assert fault is PipelineValidationError.of("chat", [fault])


def test_several_faults_are_numbered_in_one_message() -> None:
    """The error lists each fault on a line of its own, and keeps them as typed errors."""
    faults = [SelfDependencyError("a", pipeline="chat"), InvalidStageNameError("1", pipeline="chat")]
    error = PipelineValidationError.of("chat", faults)
    assert tuple(faults) == error.faults
    assert ["Pipeline 'chat' has 2 faults:", f"  1. {faults[0]}", f"  2. {faults[1]}"] == str(error).splitlines()


# --- the words of messages ---------------------------------------------------------------------------------------


def test_an_absent_dependency_is_told_from_a_missing_key() -> None:
    """An optional dependency that did not end OK is named with what it ended as."""
    error = MissingInputError("b", "a", None, found=(), absent="SKIP")
    assert (
        "Stage 'b' requires a value from 'a', which ended SKIP. A dependency that is optional, or one of several under "
        "join='any', may be absent: ask inputs.has_output first, or use get_from with a default." == str(error)
    )


def test_attempts_are_told_if_there_were_several() -> None:
    """One attempt goes without saying."""
    error = StageExecutionError("a", "no", pipeline="p", attempts=3, stage_code=None, results=run_results())
    assert "Stage 'a' of pipeline 'p' failed after 3 attempts: no" == str(error)


def test_a_run_cancelled_from_outside_says_so() -> None:
    """No stage is blamed for what the owner of the run did."""
    error = PipelineCancelled(pipeline="chat", stage=None, reason="bye", results=run_results())
    assert "Pipeline 'chat' was cancelled from outside: bye" == str(error)


@pytest.mark.parametrize(
    ("origin", "why", "expected"),
    [
        ("b", None, "Stage 'b' has no value: it ended FAIL."),
        (None, "boom", "Stage 'b' has no value: it ended FAIL: boom."),
        ("a", None, "Stage 'b' has no value: it ended FAIL (it began with 'a')."),
    ],
)
def test_an_origin_is_told_if_it_is_another_stage(origin: str | None, why: str | None, expected: str) -> None:
    """A stage that is its own origin is not named twice."""
    error = StageOutcomeError("b", status="FAIL", why=why, origin=origin)
    assert expected == error.message


def test_an_undeclared_read_of_a_stage_without_dependencies_holds_the_whole_line() -> None:
    """The line can be pasted as it is."""
    error = UndeclaredDependencyError("b", "a", declared=())
    assert 'To declare it, add to the stage: dependencies=("a",)' == error.hint


class MuteError(Exception):
    """Cannot even say what it is, nor be pickled."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    def __reduce__(self) -> Any:
        raise TypeError("not me")


def test_a_cause_that_cannot_say_what_it_is_is_described_all_the_same() -> None:
    """By its type, and by what its __str__ raised."""
    error = StageflowError("It failed.")
    error.__cause__ = MuteError()
    cause = pickle.loads(pickle.dumps(error)).__cause__
    assert UnpicklableCause is type(cause)
    assert str(cause).endswith("MuteError: <its __str__ raised RuntimeError>")


def test_an_option_says_what_it_is_of() -> None:
    """A stage, something else that has options, or nothing where the reader knows."""
    assert "join of stage 'a' is wrong." == str(InvalidOptionError("join", "is wrong", stage="a"))
    assert "base_delay of a RetryPolicy is wrong." == str(
        InvalidOptionError("base_delay", "is wrong", of="a RetryPolicy")
    )
    assert "join is wrong." == str(InvalidOptionError("join", "is wrong"))


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (
            "deadline",
            ("Stage 'a' ran out of time: it took longer than its deadline of 3 s. Raise deadline=."),
        ),
        ("patience", "Stage 'a' ran out of time: it took longer than the 3 s of patience."),
    ],
)
def test_a_timeout_says_which_limit_ran_out(limit: str, text: str) -> None:
    """One that an interceptor set is known by the interceptor's name."""
    assert text == str(StageTimeoutError("a", limit=limit, seconds=3.0))


def test_a_route_that_is_no_text_is_not_shown() -> None:
    """It may be anything, of any length."""
    error = UndeclaredRouteError("triage", ["x"], routes=["y"])
    assert "Stage 'triage' returned a list as data['route']." == error.message
    assert None is error.route


def test_a_condition_that_is_awaited_nowhere_says_so() -> None:
    """A lambda that calls an async function looks sync from outside."""

    async def answer() -> bool:
        return True

    returned = answer()
    error = ConditionError("a", returned)
    returned.close()
    assert "The `when` of stage 'a' returned a coroutine." == error.message
    assert error.hint is not None
    assert error.hint.startswith("It is asked at once, and cannot be async. ")


def test_a_failed_map_travels_without_results_that_cannot() -> None:
    """What its items returned may be of a class that the other side does not know; the place and the text arrive."""

    @dataclass
    class Local:
        size: int

    error = MapItemError("enrich", 3, "ValueError: no name", completed={0: Local(1)})
    travelled = pickle.loads(pickle.dumps(error))
    assert (str(error), 3) == (str(travelled), travelled.index)
    assert None is travelled.completed
    assert ["Its completed could not be pickled"] == [note.split(" (")[0] for note in travelled.__notes__]


@pytest.mark.parametrize("wait", ["5", True, [5]])
def test_a_wait_that_is_no_number_is_refused(wait):
    """As a header's text would be: no policy would wait for it, and nobody would know."""
    with pytest.raises(TypeError, match="retry_after of a ProviderRateLimited is a number of seconds, not "):
        errors.ProviderRateLimited("Slow down.", provider="groq", retry_after=wait)

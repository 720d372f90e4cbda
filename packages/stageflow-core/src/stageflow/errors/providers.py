"""What goes wrong with a provider: classified by what its caller may do about it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from stageflow.errors.base import StageflowError
from stageflow.wording import shown

ProviderFault = Literal["transient", "rate_limit", "permanent", "content_refused"]
"""What the caller of a provider may do: try again; try again after a wait; mend the call; say something else."""


class ProviderError(StageflowError):
    """A provider of models did not give a usable answer.

    Attributes:
        fault: What may be done about it, see `ProviderFault`.
        provider: The name of the provider.
        status: The HTTP status, if there was a response.
        request_id: The provider's id of the request, for its support.
        retry_after: Seconds to wait before trying again, if the provider said so.

    Raises:
        TypeError: `retry_after` is no number: the text of a header, say, for which no RetryPolicy would wait.
    """

    code = "provider"
    fault: ClassVar[ProviderFault] = "permanent"

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> None:
        wait: Any = retry_after
        if wait is not None and (isinstance(wait, bool) or not isinstance(wait, (int, float))):
            raise TypeError(f"retry_after of a {type(self).__name__} is a number of seconds, not {shown(retry_after)}.")
        super().__init__(message, hint=hint)
        self.provider = provider
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after


class ProviderTransientError(ProviderError):
    """The provider could not do it now; the same call may work later: `retry_on=ProviderTransientError`."""

    code = "provider-transient"
    fault: ClassVar[ProviderFault] = "transient"


class ProviderUnreachable(ProviderTransientError):
    """There was no connection to the provider, or it broke before the answer was complete."""

    code = "provider-unreachable"


class ProviderTimeout(ProviderTransientError, TimeoutError):
    """The provider was silent for longer than the client waits."""

    code = "provider-timeout"


class ProviderServerError(ProviderTransientError):
    """The provider itself broke, or is over capacity."""

    code = "provider-server"


class ProviderProtocolError(ProviderTransientError):
    """The provider answered, and the answer is cut off, empty, or not an answer at all."""

    code = "provider-protocol"


class ProviderRateLimited(ProviderTransientError):
    """The provider wants fewer requests; `retry_after` is the wait that it asks for, which a RetryPolicy keeps."""

    code = "provider-rate-limited"
    fault: ClassVar[ProviderFault] = "rate_limit"


class ProviderPermanentError(ProviderError):
    """The same call would fail again, whoever makes it and however often."""

    code = "provider-permanent"


class ProviderAuthError(ProviderPermanentError):
    """The provider does not accept the key, or the key may not do this."""

    code = "provider-auth"


class ProviderRequestError(ProviderPermanentError):
    """The provider refuses this request."""

    code = "provider-request"


class ProviderContentRefused(ProviderPermanentError):
    """The provider will not answer this content, or was kept from answering it by its filter."""

    code = "provider-content-refused"
    fault: ClassVar[ProviderFault] = "content_refused"


class ToolArgumentsError(StageflowError, ValueError):
    """The arguments that a model wrote for a tool call are no JSON object; the message does not repeat them.

    Attributes:
        tool: The name of the tool.
        call_id: The id of the call.
        position: Where in the text it stops being JSON, counted from 0; None if it is JSON, but no object.
    """

    code = "tool-arguments"

    def __init__(self, tool: str, call_id: str, why: str, *, position: int | None = None) -> None:
        where = "" if position is None else f" at character {position}"
        super().__init__(
            f"The arguments of the call '{call_id}' of tool '{tool}' {why}{where}.",
            hint="Answer the call with this text, so that the model can mend it, or ask again.",
        )
        self.tool = tool
        self.call_id = call_id
        self.position = position

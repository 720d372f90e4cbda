"""What goes wrong outside of a pipeline, in stages that talk to something.

StageflowError
├── ProviderError                 a model provider did not give a usable answer
│   ├── ProviderUnreachable       no connection, or it broke
│   ├── ProviderTimeout           silence for longer than the client waits (also a TimeoutError)
│   ├── ProviderAuthError         401, 403: the key
│   ├── ProviderRateLimited       429: `retry_after` says how long to wait
│   ├── ProviderServerError       5xx, or an error in the middle of a stream
│   ├── ProviderRequestError      any other 4xx: the request itself
│   └── ProviderProtocolError     an answer that is cut off, empty or not an answer
└── MemoryStoreError              the conversation memory cannot be opened, read or written
"""

from __future__ import annotations

from stageflow import StageflowError


class ProviderError(StageflowError):
    """A model provider did not give a usable answer.

    Attributes:
        provider: The provider's name.
        status: The HTTP status, if there was a response.
        request_id: The provider's id of the request, for its support.
        retry_after: Seconds to wait before trying again, if the provider said so.
    """

    code = "provider"

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
        super().__init__(message, hint=hint)
        self.provider = provider
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after


class ProviderUnreachable(ProviderError):
    """There was no connection to the provider, or it broke before the answer was complete."""

    code = "provider-unreachable"


class ProviderTimeout(ProviderError, TimeoutError):
    """The provider was silent for longer than the client waits."""

    code = "provider-timeout"


class ProviderAuthError(ProviderError):
    """The provider does not accept the key, or the key may not do this."""

    code = "provider-auth"


class ProviderRateLimited(ProviderError):
    """The provider wants fewer requests; `retry_after` is the wait that it asks for."""

    code = "provider-rate-limited"


class ProviderServerError(ProviderError):
    """The provider itself broke, or is over capacity."""

    code = "provider-server"


class ProviderRequestError(ProviderError):
    """The provider refuses this request, whoever sends it and however often."""

    code = "provider-request"


class ProviderProtocolError(ProviderError):
    """The provider answered, and the answer is cut off, empty, or not an answer at all."""

    code = "provider-protocol"


class MemoryStoreError(StageflowError):
    """The conversation memory cannot be opened, read or written. `location` says where it is."""

    code = "memory-store"

    def __init__(self, message: str, *, location: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.location = location

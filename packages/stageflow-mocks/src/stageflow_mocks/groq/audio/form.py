"""Forms with a file in them (multipart/form-data, RFC 7578), as a test can read them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

try:
    from python_multipart.exceptions import FormParserError
    from starlette.datastructures import Headers, UploadFile
    from starlette.formparsers import MultiPartException, MultiPartParser
except ImportError as error:
    raise ImportError(
        'GroqServer needs starlette, uvicorn and python-multipart: pip install "stageflow-mocks[server]"',
        name=error.name,
    ) from error

_MOST_KEPT_IN_MEMORY = 1 << 31


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a form.

    Attributes:
        name: The file's name, as the client gave it.
        content_type: What the client says that it is, None if it says nothing.
        data: Its bytes.
    """

    name: str
    content_type: str | None
    data: bytes

    def __repr__(self) -> str:
        return f"Upload({self.name!r}, {self.content_type!r}, {len(self.data):,} bytes)"


@dataclass(frozen=True, slots=True)
class Form:
    """What a form holds: the values of each field, and its files, both by their names, in order."""

    fields: Mapping[str, tuple[str, ...]]
    files: Mapping[str, tuple[Upload, ...]]


def is_form(headers: Mapping[str, str]) -> bool:
    """Return whether a body is said to be a form; the names of headers are in lower case."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "multipart/form-data"


async def read_form(headers: Mapping[str, str], body: bytes) -> Form | None:
    """Read the body of a request as a form; None if it is none."""

    async def stream() -> AsyncGenerator[bytes]:
        yield body

    if not is_form(headers):
        return None
    parser = MultiPartParser(Headers(dict(headers)), stream(), max_part_size=_MOST_KEPT_IN_MEMORY)
    parser.spool_max_size = _MOST_KEPT_IN_MEMORY
    try:
        parsed = await parser.parse()
    except (MultiPartException, FormParserError):
        return None
    fields: dict[str, tuple[str, ...]] = {}
    files: dict[str, tuple[Upload, ...]] = {}
    for name, value in parsed.multi_items():
        if isinstance(value, UploadFile):
            upload = Upload(value.filename or "", value.content_type, await value.read())
            files[name] = (*files.get(name, ()), upload)
        else:
            fields[name] = (*fields.get(name, ()), value)
    await parsed.close()
    return Form(fields, files)

"""The file of a cassette: what is written can be read in a review, and what is damaged is refused."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from stageflow_mocks import Cassette, CassetteFileError

GOOD: dict[str, Any] = {
    "schema_version": 1,
    "exchanges": [
        {
            "request": {
                "method": "POST",
                "url": "http://127.0.0.1:9/v1",
                "query": [["page", "1"]],
                "headers": {"content-type": "multipart/form-data"},
                "body": {
                    "parts": [
                        {"name": "n", "text": "1"},
                        {"name": "f", "filename": "a", "type": "x/y", "base64": "AAEC"},
                        {"name": "s", "audio": {"type": "audio/wav", "bytes": 9, "sha256": "00"}},
                    ]
                },
            },
            "response": {"after": 0.1, "status": 200, "headers": [["a", "b"]], "body": {"json": {}, "after": 1}},
        },
        {
            "request": {"method": "POST", "url": "x", "body": {"form": [["a", "b"]]}},
            "response": {"after": 0, "status": 200, "body": {"text": [[0.5, "a"], [1, "b"]]}},
            "failure": {"after": 0.5, "type": "ReadError", "message": "reset"},
        },
        {
            "request": {"method": "GET", "url": "x"},
            "response": {
                "after": 0,
                "status": 200,
                "body": {
                    "audio": {"type": "a", "bytes": 5, "sha256": "0", "head": "AA==", "fill": 1},
                    "pieces": [[0, 5]],
                },
            },
        },
        {"request": {"method": "GET", "url": "x"}, "left_after": 3.5},
    ],
}


def _load(tmp_path: Path, content: str) -> Cassette:
    path = tmp_path / "c.json"
    path.write_text(content, "utf-8")
    cassette = Cassette(path)
    cassette.load()
    return cassette


def _changed(place: tuple[Any, ...], value: Any) -> str:
    tape = json.loads(json.dumps(GOOD))
    at = tape
    for key in place[:-1]:
        at = at[key]
    if value is None:
        del at[place[-1]]
    else:
        at[place[-1]] = value
    return json.dumps(tape)


def test_a_good_file_is_read(tmp_path: Path) -> None:
    """Each kind of exchange and body is known."""
    assert len(_load(tmp_path, json.dumps(GOOD)).unused) == 4


FIRST, SECOND, THIRD = (("exchanges", number) for number in range(3))


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (("schema_version",), 2, "2 is not 1, which is what this version of stageflow-mocks reads. Install a newer"),
        (("schema_version",), None, "schema_version: None is not 1"),
        (("schema_version",), True, "schema_version: True is not 1"),
        (("exchange",), [], "exchange: there is no such field. Did you mean 'exchanges'?"),
        (("exchanges",), {}, "exchanges: {} is no list"),
        ((*FIRST, "request"), None, "exchanges[0]: it has no 'request'"),
        ((*FIRST, "response"), None, "exchanges[0]: nothing came of it"),
        ((*FIRST, "respones"), {}, "exchanges[0].respones: there is no such field. Did you mean 'response'?"),
        ((*FIRST, "request", "method"), 1, "exchanges[0].request.method: 1 is no text"),
        ((*FIRST, "request", "query"), [["a"]], "exchanges[0].request.query[0]: it is no pair"),
        ((*FIRST, "request", "headers"), {"a": 1}, "exchanges[0].request.headers.a: 1 is no text"),
        ((*FIRST, "request", "body"), {}, "exchanges[0].request.body: it has to have one of json, text"),
        ((*FIRST, "request", "body", "parts", 0, "text"), 1, "body.parts[0].text: 1 is no text"),
        ((*FIRST, "request", "body", "parts", 0, "nme"), "", "body.parts[0].nme: there is no such field"),
        ((*FIRST, "request", "body", "parts", 1, "base64"), "?", "body.parts[1].base64: '?' is no base64"),
        ((*FIRST, "request", "body", "parts", 2, "audio", "bytes"), -1, "audio.bytes: -1 is no number of bytes"),
        ((*FIRST, "response", "status"), 42, "exchanges[0].response.status: 42 is no status from 100 to 599"),
        ((*FIRST, "response", "after"), "1", "exchanges[0].response.after: '1' is no number of seconds"),
        ((*FIRST, "response", "after"), -1, "exchanges[0].response.after: -1 is no number of seconds"),
        ((*FIRST, "response", "body", "pieces"), [], "response.body: it has to have one of after, pieces"),
        ((*THIRD, "response", "body", "pieces"), [], "response.body.pieces: there are none"),
        ((*FIRST, "response", "body", "layout"), "spcaed", "layout: 'spcaed' is none. Did you mean 'spaced'?"),
        ((*FIRST, "response", "headers"), [["a", 1]], "exchanges[0].response.headers[0][1]: 1 is no text"),
        ((*SECOND, "request", "body", "form"), [1], "exchanges[1].request.body.form[0]: 1 is no list"),
        ((*SECOND, "response", "body", "text", 1), [1], "exchanges[1].response.body.text[1]: it is no pair"),
        ((*SECOND, "response", "body", "text", 1, 0), "x", "response.body.text[1][0]: 'x' is no number of seconds"),
        ((*SECOND, "failure", "type"), "ReadEror", "no error of httpx's transports. Did you mean 'ReadError'?"),
        ((*THIRD, "response", "body", "pieces"), [[0, 4]], "their sizes are 4 bytes"),
        ((*THIRD, "response", "body", "audio", "fill"), 256, "audio.fill: it is no byte"),
        (("exchanges", 3, "left_after"), "x", "exchanges[3].left_after: 'x' is no number of seconds"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused_with_the_place(tmp_path: Path, place: Any, value: Any, told: str) -> None:
    """Where in which file, what is wrong there, and what to do."""
    with pytest.raises(CassetteFileError) as caught:
        _load(tmp_path, _changed(place, value))
    assert told in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "c.json"))


@pytest.mark.parametrize(
    ("content", "told"), [("{", "it is no JSON"), ("[]", "it is no mapping"), ("[" * 100_000, "it is no JSON")]
)
def test_what_is_no_cassette_is_refused(tmp_path: Path, content: str, told: str) -> None:
    """A file that was cut off, or of something else."""
    with pytest.raises(CassetteFileError, match=told):
        _load(tmp_path, content)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    """Bytes of any other kind."""
    (tmp_path / "c.json").write_bytes(b"\xff\xfe")
    with pytest.raises(CassetteFileError, match="it is no text"):
        Cassette(tmp_path / "c.json").load()


def test_the_file_can_be_read_in_a_review(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON is JSON, each piece of a stream has a line, letters are letters."""
    monkeypatch.delenv("CI", raising=False)

    def serve(request: httpx.Request) -> httpx.Response:
        kind = {"content-type": "text/event-stream"} if request.method == "GET" else {}
        return (
            httpx.Response(200, headers=kind, text="data: ü\n\n")
            if kind
            else httpx.Response(200, json={"b": 1, "a": []})
        )

    with (
        Cassette(tmp_path / "c.json", mode="record") as cassette,
        httpx.Client(transport=cassette.transport(httpx.MockTransport(serve))) as client,
    ):
        client.post("http://127.0.0.1/v1?page=2", json={"z": ["ä", {"y": None}]})
        client.get("http://127.0.0.1/v1")
    text = (tmp_path / "c.json").read_text("utf-8")
    assert (
        '"z": [\n              "ä",\n              {\n                "y": null\n              }\n            ]' in text
    )
    assert '["page", "2"]' in text
    assert ', "data: ü\\n\\n"]\n' in text
    assert text.index('"b": 1') < text.index('"a": []')


def test_what_editors_make_of_line_ends_is_read(tmp_path: Path) -> None:
    """Also a mark of UTF-8 before it."""
    text = json.dumps(GOOD, indent=2).replace("\n", "\r\n")
    assert len(_load(tmp_path, "\ufeff" + text).unused) == 4


@pytest.mark.parametrize("is_half_written", [False, True])
def test_a_file_that_cannot_be_written_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_half_written: bool
) -> None:
    """The error names it and why; the file is as it was, and there is nothing beside it."""
    monkeypatch.delenv("CI", raising=False)
    folder = tmp_path / "folder"
    if is_half_written:
        folder.mkdir()
        (folder / "c.json").mkdir()  # which no file replaces
    else:
        folder.write_text("no folder")
    with (
        pytest.raises(
            CassetteFileError, match=r"c\.json: what was recorded cannot be written \(.*The file is as it was"
        ),
        Cassette(folder / "c.json", mode="record") as cassette,
        httpx.Client(transport=cassette.transport(httpx.MockTransport(lambda _: httpx.Response(200)))) as client,
    ):
        client.get("http://127.0.0.1:9/")
    assert [path.name for path in tmp_path.rglob("*")] == (["folder", "c.json"] if is_half_written else ["folder"])


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A folder, or what may not be read."""
    with pytest.raises(CassetteFileError, match="it cannot be read"):
        Cassette(tmp_path).load()

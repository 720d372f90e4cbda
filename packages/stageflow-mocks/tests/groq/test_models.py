"""The models of a GroqServer: the list, each of them, and what each is for."""

from typing import Any

import groq
import httpx
import pytest
from groq import AsyncGroq
from stageflow_mocks import GroqServer

MESSAGES: Any = [{"role": "user", "content": "My name is Ada."}]


async def test_list() -> None:
    """A server lists models for chat, for hearing and for speaking, each as it can be retrieved."""
    async with (
        GroqServer() as server,
        AsyncGroq(api_key="k", base_url=server.base_url, max_retries=0) as client,
    ):
        models = (await client.models.list()).data
        assert {output for model in models for output in getattr(model, "output_modalities")} == {  # noqa: B009 - beyond the SDK's type
            *("text", "transcription", "speech")
        }
        assert [model.id for model in models] == sorted(model.id for model in models)
        for model in models:
            assert await client.models.retrieve(model.id) == model
        reasoning = {model.id for model in models if "reasoning" in getattr(model, "supported_features", ())}
        assert {"openai/gpt-oss-20b", "qwen/qwen3-32b"} < reasoning
        assert "llama-3.1-8b-instant" not in reasoning


async def test_models_that_a_server_was_given() -> None:
    """It lists those alone; one of Groq's is described as Groq's is."""
    async with (
        GroqServer(models={"mine", "whisper-large-v3"}) as server,
        AsyncGroq(api_key="k", base_url=server.base_url, max_retries=0) as client,
    ):
        mine, whisper = (await client.models.list()).data
        assert (mine.id, mine.owned_by, whisper.id, whisper.owned_by) == (
            *("mine", "Loopback"),
            *("whisper-large-v3", "OpenAI"),
        )
        with pytest.raises(groq.NotFoundError, match="model_not_found"):
            await client.models.retrieve("openai/gpt-oss-20b")


async def test_a_model_is_for_one_thing() -> None:
    """One of Groq's is refused where it does not serve; one that nobody knows serves everywhere."""
    async with (
        GroqServer(transcriber="Hello.") as server,
        AsyncGroq(api_key="k", base_url=server.base_url, max_retries=0) as client,
    ):
        with pytest.raises(groq.BadRequestError, match="`whisper-large-v3` does not support chat completions"):
            await client.chat.completions.create(model="whisper-large-v3", messages=MESSAGES)
        with pytest.raises(groq.BadRequestError, match="`openai/gpt-oss-20b` does not support audio transcriptions"):
            await client.audio.transcriptions.create(model="openai/gpt-oss-20b", file=("a.ogg", b"OggS"))
        await client.chat.completions.create(model="any", messages=MESSAGES)
        await client.audio.translations.create(model="any", file=("a.ogg", b"OggS"))
        await client.audio.speech.create(model="any", voice="any", input="Hello.", response_format="wav")


async def test_models_want_a_key() -> None:
    """The list is not for everybody."""
    async with GroqServer() as server, httpx.AsyncClient(trust_env=False) as http:
        response = await http.get(f"{server.base_url}/openai/v1/models")
    assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/models/m"), ("POST", "/models"), ("GET", "/modelsx")])
async def test_unknown_url(method: str, path: str) -> None:
    """What this server does not do with models is no address of it."""
    async with GroqServer() as server, httpx.AsyncClient(trust_env=False) as http:
        response = await http.request(
            method, f"{server.base_url}/openai/v1{path}", headers={"authorization": "Bearer k"}
        )
    assert (response.status_code, response.json()["error"]["code"]) == (404, "unknown_url")

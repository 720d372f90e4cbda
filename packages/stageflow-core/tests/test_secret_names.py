"""Which names of fields say that their value is secret."""

from __future__ import annotations

import pytest
from stageflow.secret_names import LONGEST_NAME, kind_of_name

SECRET = """
    api_key apiKey API_KEY x-api-key X-Api-Key OPENAI_API_KEY openaiApiKey apikey GROQ_KEY api_keys key.api_key
    password PASSWORD userPassword dbpassword db_passwd PGPASSWORD passwd pwd user_pw passphrase passcode password2
    secret client_secret clientSecret SECRET_KEY secrets secret_key_base aws_secret_access_key webhook_secret
    token access_token accessToken refresh_token id_token authtoken X-Auth-Token csrf_token csrftoken xsrf auth_tokens
    authorization Authorization Proxy-Authorization cookie Cookie set-cookie Set-Cookie cookies session_cookie
    PHPSESSID JSESSIONID private_key privateKey access_key credential credentials db_credentials jwt bearer otp
    ssh_key encryption_key session_key signing_key subscription-key Ocp-Apim-Subscription-Key
"""

OPEN = """
    tokens max_tokens maxTokens token_count tokenCount prompt_tokens completion_tokens total_tokens cached_tokens
    time_to_first_token_ms first_token next_page_token nextPageToken tokenizer tokenized max_token token_type
    token_limit key keys public_key idempotency_key cache_key primary_key api_key_id key_id keyboard monkey turkey
    secretary secret_name password_changed_at password_length password_policy passwordless cookie_name auth_url
    author authors authority authenticated pass_rate passage compass user name text type payload session_id user_id
    access_token_expires_in refreshTokenExpiresIn n x url status error message reason origin stages pipeline 123 _ -
"""


@pytest.mark.parametrize("name", SECRET.split())
def test_names_of_secrets_are_known_however_they_are_written(name: str) -> None:
    """With hyphens, underscores, capitals or run together, alone or behind other words."""
    assert "secret" == kind_of_name(name)


@pytest.mark.parametrize("name", [*OPEN.split(), "", "пароль", "日本語"])
def test_other_names_are_open(name: str) -> None:
    """Counts of tokens, names and places of secrets, and words that only look like one of them."""
    assert "open" == kind_of_name(name)


@pytest.mark.parametrize("name", ["auth", "basic_auth", "pass", "db_pass"])
def test_some_names_say_so_of_text_only(name: str) -> None:
    """`pass` also counts tests, and `auth` also describes a decision."""
    assert "secret text" == kind_of_name(name)


@pytest.mark.parametrize("name", ["audio", "audio_base64", "inputAudio", "pcm16", "wav", "waveform"])
def test_some_names_say_that_their_value_is_sound(name: str) -> None:
    """What stands there is cut from a shorter length on."""
    assert "audio" == kind_of_name(name)


@pytest.mark.parametrize("name", ["audio_url", "audio_format", "audio_id", "audiobook"])
def test_what_tells_about_sound_is_open(name: str) -> None:
    """An address or a format is no sound."""
    assert "open" == kind_of_name(name)


def test_of_a_long_name_the_end_counts() -> None:
    """A dotted path of any length is told by its last words."""
    assert "secret" == kind_of_name("x." * LONGEST_NAME + "api_key")
    assert "open" == kind_of_name("api_key" + ".x" * LONGEST_NAME)

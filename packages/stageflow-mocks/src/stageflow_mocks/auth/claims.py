"""What MockAuth is told, checked: names, scopes, times and claims of a test's own."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stageflow_mocks.wording import nearest

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""A scope-token of RFC 6749, section 3.3: printable, without spaces, quotes and backslashes."""

_MANAGED = ("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope")
"""Claims that MockAuth writes, beside those of the tenant and the roles, which are named by whoever makes it."""


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """How an identity provider calls the claims that no standard names alike everywhere."""

    tenant: str
    roles: str

    def __post_init__(self) -> None:
        require_name("tenant_claim", self.tenant)
        require_name("roles_claim", self.roles)
        names = [*_MANAGED, self.tenant, self.roles]
        for name in (self.tenant, self.roles):
            if names.count(name) > 1:
                raise ValueError(f"tenant_claim and roles_claim name claims of their own, but {name!r} is taken.")

    def managed(self) -> tuple[str, ...]:
        """Return the names of all claims that MockAuth writes."""
        return (*_MANAGED, self.tenant, self.roles)


def require_name(what: str, value: object) -> None:
    """Refuse what is no text, or an empty one.

    Raises:
        TypeError: It is no text.
        ValueError: It is empty, or has white space around it.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} is a text, not {value!r}.")
    if not value or value.strip() != value:
        raise ValueError(f"{what} is a text that is not empty and has no white space around it, not {value!r}.")


def require_choice(what: str, value: object, choices: Sequence[str]) -> None:
    """Refuse a name that is none of the choices.

    Raises:
        ValueError: It is none of them; the message has the nearest and all.
    """
    if value in choices:
        return
    meant = nearest(value, choices) if isinstance(value, str) else ""
    raise ValueError(f"{value!r} is no {what} of MockAuth. {meant}There are: {', '.join(choices)}.")


def require_seconds(what: str, value: object) -> None:
    """Refuse what is no whole number of seconds above zero: times in tokens are whole seconds here.

    Raises:
        TypeError: It is no whole number.
        ValueError: It is zero or less.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{what} is a whole number of seconds, not {value!r}.")
    if value < 1:
        raise ValueError(f"{what} is at least 1 second, not {value!r}.")


def several_names(what: str, values: Collection[str]) -> list[str]:
    """Return the names as a list, in their order.

    Raises:
        TypeError: It is one text instead of several, or one of them is no text.
        ValueError: One of them is empty, or there twice.
    """
    if isinstance(values, str):
        raise TypeError(f"{what} are several texts, not one: write [{values!r}].")
    names = list(values)
    for name in names:
        require_name(f"each of {what}", name)
    if len(set(names)) < len(names):
        raise ValueError(f"{what} names something twice: {names!r}.")
    return names


def scope_claim(scopes: Collection[str]) -> str:
    """Return the scopes as the claim has them: one text, with spaces between (RFC 8693, section 4.2).

    Raises:
        TypeError, ValueError: They are not several different scopes, each as RFC 6749 wants it.
    """
    names = several_names("scopes", scopes)
    for name in names:
        if not _SCOPE.fullmatch(name):
            raise ValueError(f"{name!r} is no scope: it has no spaces, quotes or backslashes, and is ASCII (RFC 6749).")
    return " ".join(names)


def audience_claim(audience: str | Collection[str]) -> str | list[str]:
    """Return the audience as the claim has it: one text, or several."""
    if isinstance(audience, str):
        require_name("audience", audience)
        return audience
    several = several_names("audience", audience)
    if not several:
        raise ValueError("audience is at least one service: a token for nobody is accepted by nobody.")
    return several


def own_claims(claims: Mapping[str, Any] | None, names: ClaimNames) -> dict[str, Any]:
    """Return claims of the test's own.

    Raises:
        TypeError: They cannot be written as JSON.
        ValueError: One of them is a claim that MockAuth writes.
    """
    if claims is not None and not isinstance(claims, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"claims is a mapping, not {claims!r}.")
    added = dict(claims or {})
    taken = [name for name in added if name in names.managed()]
    if taken:
        raise ValueError(
            f"claims sets {', '.join(map(repr, taken))}, which MockAuth writes itself: use user_id, tenant_id, roles, "
            "scopes, audience, lifetime_s, or a kind of token."
        )
    try:
        json.dumps(added, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"claims cannot be written as JSON: {error}") from error
    return added


def whole_seconds(clock: Callable[[], float]) -> int:
    """Return what the clock says, in whole Unix seconds, rounded down.

    Raises:
        ValueError: It says no finite number.
    """
    now: Any = clock()
    if isinstance(now, bool) or not isinstance(now, int | float) or not math.isfinite(now):
        raise ValueError(f"The clock of MockAuth says Unix seconds, not {now!r}.")
    return math.floor(now)

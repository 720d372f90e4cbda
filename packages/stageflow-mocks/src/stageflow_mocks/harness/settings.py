"""Settings for a test, which say what was asked of them that they do not have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal, get_args

from stageflow_mocks.wording import nearest

OnMissing = Literal["default", "refuse"]


class FakeConfig:
    """A ConfigProvider over a mapping.

    Args:
        settings: The settings, by key.
        on_missing: What a key gets that is not there: "default" gives the default of whoever asks, "refuse" raises.

    Attributes:
        asked: How often each key was asked for.
        missing: Likewise, of those that are not there.
    """

    def __init__(self, settings: Mapping[str, Any] | None = None, *, on_missing: OnMissing = "default") -> None:
        if on_missing not in get_args(OnMissing):
            raise ValueError(f"on_missing of a FakeConfig is 'default' or 'refuse', not {on_missing!r}.")
        if settings is not None and not isinstance(settings, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"settings of a FakeConfig is a mapping, not {settings!r}.")
        self._settings = dict(settings or {})
        self._on_missing = on_missing
        self.asked: Counter[str] = Counter()
        self.missing: Counter[str] = Counter()

    def get(self, key: str, default: Any = None, /) -> Any:
        """Return the setting, or the default if there is none.

        Raises:
            LookupError: There is none, and that is refused.
        """
        self.asked[key] += 1
        if key in self._settings:
            return self._settings[key]
        self.missing[key] += 1
        if self._on_missing == "refuse":
            meant = nearest(key, tuple(self._settings))
            given = ", ".join(map(repr, sorted(self._settings))) or "none"
            raise LookupError(f"The setting {key!r} was asked for, and is not there. {meant}Given: {given}.")
        return default

    def __repr__(self) -> str:
        return f"<FakeConfig: {len(self._settings)} settings>"  # which may be keys

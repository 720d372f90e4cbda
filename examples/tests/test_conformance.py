"""What the examples plug into runs keeps the promises of the protocols."""

import json
import logging
from contextlib import asynccontextmanager, closing

import pytest
from stageflow_mocks.conformance import (
    LLMProviderConformance,
    ProviderCallLoggerConformance,
    RunStoreConformance,
    TTSProviderConformance,
)

from examples.served_chat import call_log
from examples.served_chat.call_log import CallLog
from examples.served_chat.model import SmallModel
from examples.served_chat.run_table import RunTable
from examples.voice_turn.model import MockModel
from examples.voice_turn.voice import ToneVoice


class TestRunTable(RunStoreConformance):
    @pytest.fixture(autouse=True, params=["in memory", "in a file"])
    def _open(self, request, tmp_path):
        with closing(RunTable(tmp_path / "runs.db" if request.param == "in a file" else None)) as self.table:
            yield  # its threads have ended when the event loop has

    def make(self):
        return self.table


class Lines(logging.Handler):
    """Keeps what the lines of a log say of each call."""

    def __init__(self):
        super().__init__()
        self.calls = {}

    def emit(self, record):
        line = record.getMessage()
        call_id, *told, details = record.args
        says = ["operation"] if " begins " in line else ["status", "duration_ms"]
        known = {**dict(zip(says, told, strict=True)), **json.loads(details)}
        self.calls.setdefault(call_id, {}).update(known)


class TestCallLog(ProviderCallLoggerConformance):
    simulated = True

    @asynccontextmanager
    async def make(self):
        lines, level = Lines(), call_log.logger.level
        call_log.logger.addHandler(lines)
        call_log.logger.setLevel(logging.INFO)
        log = CallLog()
        log.lines = lines
        try:
            yield log
        finally:
            call_log.logger.removeHandler(lines)
            call_log.logger.setLevel(level)

    async def record(self, logger, call_id):
        return logger.lines.calls.get(call_id)


class TestSmallModel(LLMProviderConformance):
    simulated = True

    def make(self):
        return SmallModel()


class TestMockModel(LLMProviderConformance):
    simulated = True

    def make(self):
        return MockModel()


class TestToneVoice(TTSProviderConformance):
    simulated = True

    def make(self):
        return ToneVoice()

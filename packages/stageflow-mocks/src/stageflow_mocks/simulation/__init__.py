"""Runs of asyncio code in which time is simulated: hours of waiting take no time, and nothing outside is touched."""

from stageflow_mocks.simulation.errors import OutsideWorldError, StalledError, TooManyStepsError
from stageflow_mocks.simulation.running import run, simulated
from stageflow_mocks.simulation.virtual_clock import VirtualClockLoop

__all__ = ["OutsideWorldError", "StalledError", "TooManyStepsError", "VirtualClockLoop", "run", "simulated"]

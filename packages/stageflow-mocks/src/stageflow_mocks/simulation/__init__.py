"""Runs of asyncio code in which time is simulated: hours of waiting take no time, and nothing outside is touched."""

from stageflow_mocks.simulation.virtual_clock import OutsideWorldError, StalledError, VirtualClockLoop, run, simulated

__all__ = ["OutsideWorldError", "StalledError", "VirtualClockLoop", "run", "simulated"]

"""How long and how large a benchmark is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """Rounds of samples, and the scale of the graphs; below a scale of 1 a figure is a trial, not a measurement."""

    rounds: int = 31
    scale: float = 1.0

    def stages(self, full: int, least: int = 10) -> int:
        """Scale a number of stages."""
        return max(least, round(full * self.scale))

    def rounds_of(self, share: float) -> int:
        """Give slower measurements a share of the rounds."""
        return max(2, round(self.rounds * share))


FULL = Effort()
QUICK = Effort(rounds=3, scale=0.05)

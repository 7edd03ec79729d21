"""How fast and how much at once, as arithmetic: no clock, no waiting. limiter.py owns both."""

from batchgen.pacing.breaker import Breaker
from batchgen.pacing.line import Line, Pace, Stall, Trip
from batchgen.pacing.rate import Rate
from batchgen.pacing.window import FIRST, Learned, Window

__all__ = ["FIRST", "Breaker", "Learned", "Line", "Pace", "Rate", "Stall", "Trip", "Window"]

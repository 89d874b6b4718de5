"""What the integration tests are written with; tests/TESTING.md says how.

    from lib import *

    def test_something(t):
        s = t.server(history=10)
        ann = s.join("general", nick="ann")
        ...
"""
from .client import Client, ConnectionReset, Line, tls_context
from .log import Log, parse_line
from .program import check_good, run_chatd
from .server import Server
from .test import (SCALE, Skip, Test, both, check, equal, evidence_of, raises, seconds, wait_until, LONG)

__all__ = ["Client", "ConnectionReset", "Line", "Log", "LONG", "SCALE", "Server", "Skip", "Test", "both", "check",
           "check_good", "equal", "evidence_of", "parse_line", "raises", "run_chatd", "seconds", "tls_context", "wait_until"]

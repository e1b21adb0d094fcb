"""What the tests of both clients have in common."""

import os
import unittest

from programs import Program, calls, wait_until

# Nothing here goes anywhere else.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"

# A picture of one point, and another one.
RED = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGA"
    "hKmMIQAAAABJRU5ErkJggg=="
)
BLUE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA"
    "60e6kgAAAABJRU5ErkJggg=="
)


class Case(unittest.TestCase):
    """A gateway with the AI cache in front of the mock."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.mock = Program("mock-llm")
        cls.addClassCleanup(cls.mock.stop)
        cls.gateway = Program(
            "gateway",
            GATEWAY_UPSTREAM=cls.mock.url,
            GATEWAY_LISTEN="127.0.0.1:0",
            GATEWAY_LAYERS="ai-cache",
        )
        cls.addClassCleanup(cls.gateway.stop)

    def asked(self, call):
        """How the cache answers a call, what comes, and how often the mock was asked for it. What
        comes as a stream is read to its end."""
        before = calls(self.mock)
        raw = call()
        answer = raw.parse()
        if hasattr(answer, "__next__"):
            answer = list(answer)
        return raw.headers["x-ai-cache"], answer, calls(self.mock) - before

    def miss_and_hit(self, call):
        """What comes of a call that was never made before, and again when it is made again."""
        status, first, count = self.asked(call)
        self.assertEqual((status, count), ("MISS", 1))
        again = []

        def is_hit():
            # A stream may be read before its connection has ended: then its answer is shared.
            status, answer, count = self.asked(call)
            again.append(answer)
            self.assertIn(status, ("HIT", "COALESCED") if isinstance(first, list) else ("HIT",))
            self.assertEqual(count, 0)
            return status == "HIT"

        wait_until(is_hit)
        for answer in again:
            self.assertEqual(answer, first)
        return first

    def misses(self, call):
        status, answer, count = self.asked(call)
        self.assertEqual((status, count), ("MISS", 1))
        return answer

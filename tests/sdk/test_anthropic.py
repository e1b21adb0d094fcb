"""The client of Anthropic."""

import unittest

import anthropic
from case import BLUE, RED, Case
from programs import calls, wait_until

TOOL = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


class Anthropic(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = cls.with_key("key-1")

    @classmethod
    def with_key(cls, key):
        return anthropic.Anthropic(
            api_key=key, base_url=cls.gateway.url, max_retries=0, timeout=30
        )

    def ask(self, content, client=None, **more):
        client = client or self.client
        messages = [{"role": "user", "content": content}]
        return lambda: client.messages.with_raw_response.create(
            model="claude-test", max_tokens=100, messages=messages, **more
        )

    def streamed(self, content, **more):
        """How the cache answers, and the message that the client's own helper puts together."""
        messages = [{"role": "user", "content": content}]
        with self.client.messages.stream(
            model="claude-test", max_tokens=100, messages=messages, **more
        ) as stream:
            return stream.response.headers["x-ai-cache"], stream.get_final_message()

    def streamed_twice(self, content, **more):
        before = calls(self.mock)
        status, first = self.streamed(content, **more)
        self.assertEqual(status, "MISS")

        def is_hit():
            status, again = self.streamed(content, **more)
            self.assertEqual(again, first)
            self.assertIn(status, ("HIT", "COALESCED"))
            return status == "HIT"

        wait_until(is_hit)
        self.assertEqual(calls(self.mock) - before, 1)
        return first

    def test_messages(self):
        answer = self.miss_and_hit(self.ask("Hello, plain"))
        (block,) = answer.content
        self.assertTrue(block.text.startswith("You asked: “Hello, plain”"))
        self.assertEqual((answer.stop_reason, answer.role), ("end_turn", "assistant"))
        self.assertGreater(min(answer.usage.input_tokens, answer.usage.output_tokens), 0)
        events = self.miss_and_hit(self.ask("Hello, plain", stream=True))
        kinds = [event.type for event in events]
        self.assertEqual((kinds[0], kinds[-1]), ("message_start", "message_stop"))
        deltas = [event.delta.text for event in events if event.type == "content_block_delta"]
        self.assertEqual("".join(deltas), block.text)

    def test_a_stream_put_together(self):
        answer = self.streamed_twice("Hello, stream")
        plain = self.misses(self.ask("Hello, stream"))
        self.assertEqual(answer.content[0].text, plain.content[0].text)
        self.assertEqual(answer.usage.output_tokens, plain.usage.output_tokens)
        self.assertEqual((answer.id, answer.stop_reason), (plain.id, "end_turn"))

    def test_tools(self):
        wanted = {"tools": [TOOL], "tool_choice": {"type": "any"}}
        answer = self.miss_and_hit(self.ask("How is the weather?", **wanted))
        (call,) = answer.content
        self.assertEqual((call.type, call.name, list(call.input)), ("tool_use", "weather", ["city"]))
        self.assertEqual(answer.stop_reason, "tool_use")
        again = self.streamed_twice("How is the weather?", **wanted)
        (same,) = again.content
        self.assertEqual((same.id, same.input, again.stop_reason), (call.id, call.input, "tool_use"))

    def test_pictures(self):
        def seen(picture):
            source = {"type": "base64", "media_type": "image/png", "data": picture}
            return self.ask([{"type": "image", "source": source}, {"type": "text", "text": "What?"}])

        red, blue = self.miss_and_hit(seen(RED)), self.miss_and_hit(seen(BLUE))
        self.assertNotEqual(red.content[0].text, blue.content[0].text)

    def test_thinking(self):
        answer = self.miss_and_hit(self.ask("Think [[mock:reasoning]]"))
        thought, said = answer.content
        self.assertEqual((thought.type, said.type), ("thinking", "text"))
        self.assertTrue(thought.signature)
        again = self.streamed_twice("Think [[mock:reasoning]]")
        self.assertEqual(
            [block.type for block in again.content], [block.type for block in answer.content]
        )
        self.assertEqual(again.content[0].thinking, thought.thinking)
        self.assertEqual(again.content[0].signature, thought.signature)

    def test_keys_do_not_share(self):
        self.miss_and_hit(self.ask("Whose is this?"))
        self.miss_and_hit(self.ask("Whose is this?", self.with_key("key-2")))

    def test_what_callers_ask_of_the_cache(self):
        status, _, count = self.asked(self.ask("Hello, control", extra_body={"useCache": False}))
        self.assertEqual((status, count), ("BYPASS", 1))
        first = self.miss_and_hit(self.ask("Hello, control"))
        no_cache = {"cache-control": "no-cache"}
        status, answer, count = self.asked(self.ask("Hello, control", extra_headers=no_cache))
        self.assertEqual((status, answer, count), ("REFRESH", first, 1))

    def test_errors_are_not_stored(self):
        for mark, error in [
            ("429", anthropic.RateLimitError),
            ("529", anthropic.APIStatusError),
            ("400", anthropic.BadRequestError),
        ]:
            before = calls(self.mock)
            for _ in range(2):
                with self.assertRaises(error) as told:
                    self.ask(f"Fail [[mock:{mark}]]")()
                self.assertIn("as it was told", str(told.exception))
            self.assertEqual(calls(self.mock) - before, 2, mark)

    def test_half_an_answer_is_not_stored(self):
        for mark in ["broken", "truncated", "error"]:
            before = calls(self.mock)
            for _ in range(2):
                raw = self.ask(f"Fail [[mock:{mark}]]", stream=True)()
                self.assertEqual(raw.headers["x-ai-cache"], "MISS")
                events, failed = [], False
                try:
                    for event in raw.parse():
                        events.append(event)
                except Exception:
                    failed = True
                self.assertEqual(failed, mark != "truncated", mark)
                self.assertEqual(events[0].type, "message_start")
                self.assertNotIn("message_stop", [event.type for event in events])
            self.assertEqual(calls(self.mock) - before, 2, mark)


if __name__ == "__main__":
    unittest.main()

"""The client of OpenAI."""

import asyncio
import itertools
import json
import unittest

import openai
from case import BLUE, RED, Case
from programs import calls

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
# Responses name tools otherwise.
FLAT_TOOL = {"type": "function", "strict": False} | TOOL["function"]


class OpenAi(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = cls.with_key("key-1")

    @classmethod
    def with_key(cls, key, kind=openai.OpenAI):
        return kind(api_key=key, base_url=f"{cls.gateway.url}/v1", max_retries=0, timeout=30)

    def chat(self, text, client=None, **more):
        client = client or self.client
        messages = [{"role": "user", "content": text}]
        return lambda: client.chat.completions.with_raw_response.create(
            model="gpt-test", messages=messages, **more
        )

    def test_chat(self):
        answer = self.miss_and_hit(self.chat("Hello, plain"))
        (choice,) = answer.choices
        self.assertTrue(choice.message.content.startswith("You asked: “Hello, plain”"))
        self.assertEqual((choice.finish_reason, choice.message.role), ("stop", "assistant"))
        usage = answer.usage
        self.assertGreater(usage.prompt_tokens, 0)
        self.assertEqual(usage.prompt_tokens + usage.completion_tokens, usage.total_tokens)

    def test_chat_stream(self):
        chunks = self.miss_and_hit(self.chat("Hello, stream", stream=True))
        content = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")
        self.assertTrue(all(chunk.usage is None for chunk in chunks))
        # A stream is no answer to who wants the whole, nor one without usage to who wants that.
        plain = self.misses(self.chat("Hello, stream"))
        self.assertEqual(plain.choices[0].message.content, content)
        told = {"include_usage": True}
        chunks = self.miss_and_hit(self.chat("Hello, stream", stream=True, stream_options=told))
        self.assertEqual(chunks[-1].choices, [])
        self.assertEqual(chunks[-1].usage, plain.usage)

    def test_chat_helper_for_streams(self):
        said = []
        for _ in range(2):
            messages = [{"role": "user", "content": "Hello, helper"}]
            with self.client.chat.completions.stream(model="gpt-test", messages=messages) as stream:
                events = [event.type for event in stream]
                said.append((events, stream.get_final_completion().choices[0].message.content))
        self.assertTrue(said[0][1].startswith("You asked: “Hello, helper”"))
        self.assertEqual(said[0], said[1])

    def test_chat_tools(self):
        wanted = {"tools": [TOOL], "tool_choice": "required"}
        answer = self.miss_and_hit(self.chat("How is the weather?", **wanted))
        (call,) = answer.choices[0].message.tool_calls
        self.assertEqual((call.type, call.function.name), ("function", "weather"))
        self.assertEqual(list(json.loads(call.function.arguments)), ["city"])
        self.assertEqual(answer.choices[0].finish_reason, "tool_calls")
        chunks = self.miss_and_hit(self.chat("How is the weather?", stream=True, **wanted))
        deltas = [chunk.choices[0].delta.tool_calls or [] for chunk in chunks]
        deltas = [delta for delta in itertools.chain(*deltas)]
        self.assertEqual((deltas[0].id, deltas[0].function.name), (call.id, "weather"))
        arguments = "".join(delta.function.arguments or "" for delta in deltas)
        self.assertEqual(arguments, call.function.arguments)
        self.assertEqual(chunks[-1].choices[0].finish_reason, "tool_calls")

    def test_chat_pictures(self):
        def seen(picture):
            url = {"url": f"data:image/png;base64,{picture}"}
            text = {"type": "text", "text": "What colour is that?"}
            return self.chat([text, {"type": "image_url", "image_url": url}])

        red = self.miss_and_hit(seen(RED))
        blue = self.miss_and_hit(seen(BLUE))
        self.assertNotEqual(red.choices[0].message.content, blue.choices[0].message.content)

    def test_chat_choices(self):
        answer = self.miss_and_hit(self.chat("Say two things", n=2))
        contents = [choice.message.content for choice in answer.choices]
        self.assertEqual([choice.index for choice in answer.choices], [0, 1])
        self.assertNotEqual(*contents)
        chunks = self.miss_and_hit(self.chat("Say two things", n=2, stream=True))
        streamed = ["", ""]
        for choice in itertools.chain(*(chunk.choices for chunk in chunks)):
            streamed[choice.index] += choice.delta.content or ""
        self.assertEqual(streamed, contents)
        ends = [chunk.choices[0] for chunk in chunks if chunk.choices[0].finish_reason]
        self.assertEqual([(end.index, end.finish_reason) for end in ends], [(0, "stop"), (1, "stop")])

    def test_chat_reasoning_and_refusal(self):
        answer = self.miss_and_hit(self.chat("Think [[mock:reasoning]]"))
        thought = answer.choices[0].message.model_extra["reasoning_content"]
        chunks = self.miss_and_hit(self.chat("Think [[mock:reasoning]]", stream=True))
        deltas = [chunk.choices[0].delta.model_extra or {} for chunk in chunks]
        self.assertEqual("".join(it.get("reasoning_content", "") for it in deltas), thought)
        answer = self.miss_and_hit(self.chat("Say it [[mock:refusal]]"))
        message = answer.choices[0].message
        self.assertEqual((message.content, message.refusal), (None, "I will not say that."))

    def test_completions(self):
        def complete(**more):
            return lambda: self.client.completions.with_raw_response.create(
                model="gpt-test", prompt="Once upon", **more
            )

        answer = self.miss_and_hit(complete())
        self.assertTrue(answer.choices[0].text.startswith("You asked: “Once upon”"))
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        self.assertGreater(answer.usage.total_tokens, 0)
        chunks = self.miss_and_hit(complete(stream=True))
        text = "".join(chunk.choices[0].text for chunk in chunks)
        self.assertEqual(text, answer.choices[0].text)
        two = self.miss_and_hit(complete(n=2))
        self.assertEqual([choice.index for choice in two.choices], [0, 1])

    def respond(self, text, **more):
        return lambda: self.client.responses.with_raw_response.create(
            model="gpt-test", input=text, **more
        )

    def test_responses(self):
        answer = self.miss_and_hit(self.respond("Hello, responses"))
        self.assertTrue(answer.output_text.startswith("You asked: “Hello, responses”"))
        self.assertEqual(answer.status, "completed")
        usage = answer.usage
        self.assertEqual(usage.input_tokens + usage.output_tokens, usage.total_tokens)
        events = self.miss_and_hit(self.respond("Hello, responses", stream=True))
        self.assertEqual(events[0].type, "response.created")
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        self.assertEqual("".join(deltas), answer.output_text)
        self.assertEqual(events[-1].type, "response.completed")
        self.assertEqual(events[-1].response.output, answer.output)
        self.assertEqual(events[-1].response.usage, usage)

    def test_responses_tools_and_reasoning(self):
        wanted = {"tools": [FLAT_TOOL], "tool_choice": "required"}
        answer = self.miss_and_hit(self.respond("Weather? [[mock:reasoning]]", **wanted))
        thought, call = answer.output
        self.assertEqual((thought.type, call.type, call.name), ("reasoning", "function_call", "weather"))
        self.assertTrue(thought.summary[0].text)
        events = self.miss_and_hit(self.respond("Weather? [[mock:reasoning]]", stream=True, **wanted))
        kind = "response.function_call_arguments.delta"
        deltas = [event.delta for event in events if event.type == kind]
        self.assertEqual("".join(deltas), call.arguments)
        self.assertEqual(events[-1].response.output, answer.output)

    def test_responses_pictures(self):
        def seen(picture):
            part = {"type": "input_image", "image_url": f"data:image/png;base64,{picture}"}
            text = {"type": "input_text", "text": "What colour?"}
            return self.respond([{"role": "user", "content": [text, part]}])

        red, blue = self.miss_and_hit(seen(RED)), self.miss_and_hit(seen(BLUE))
        self.assertNotEqual(red.output_text, blue.output_text)

    def embed(self, texts, **more):
        return lambda: self.client.embeddings.with_raw_response.create(
            model="embed-test", input=texts, **more
        )

    def test_embeddings(self):
        answer = self.miss_and_hit(self.embed(["one", "two"]))
        one, two = (element.embedding for element in answer.data)
        self.assertEqual((len(one), len(two)), (16, 16))
        # Each text is stored by itself.
        status, more, count = self.asked(self.embed(["three", "two", "one"]))
        self.assertEqual((status, count), ("PARTIAL", 1))
        self.assertEqual([element.index for element in more.data], [0, 1, 2])
        self.assertEqual([element.embedding for element in more.data[1:]], [two, one])
        status, three, count = self.asked(self.embed("three"))
        self.assertEqual((status, count), ("HIT", 0))
        self.assertEqual(three.data[0].embedding, more.data[0].embedding)
        # As numbers, they are others to the cache and the same to the client, but for the digits.
        plain = self.miss_and_hit(self.embed(["one"], encoding_format="float"))
        for told, number in zip(plain.data[0].embedding, one, strict=True):
            self.assertAlmostEqual(told, number, places=6)

    def test_what_callers_ask_of_the_cache(self):
        text = "Hello, control"
        status, _, count = self.asked(self.chat(text, extra_body={"useCache": False}))
        self.assertEqual((status, count), ("BYPASS", 1))
        first = self.miss_and_hit(self.chat(text))
        status, answer, count = self.asked(self.chat(text, extra_body={"useCache": True}))
        self.assertEqual((status, answer, count), ("HIT", first, 0))
        status, answer, count = self.asked(self.chat(text, extra_headers={"cache-control": "no-cache"}))
        self.assertEqual((status, answer, count), ("REFRESH", first, 1))

    def test_keys_do_not_share(self):
        self.miss_and_hit(self.chat("Whose is this?"))
        self.miss_and_hit(self.chat("Whose is this?", self.with_key("key-2")))

    def test_errors_are_not_stored(self):
        for mark, error in [
            ("429", openai.RateLimitError),
            ("500", openai.InternalServerError),
            ("400", openai.BadRequestError),
        ]:
            before = calls(self.mock)
            for _ in range(2):
                with self.assertRaises(error) as told:
                    self.chat(f"Fail [[mock:{mark}]]")()
                self.assertIn("as it was told", str(told.exception))
                self.assertEqual(told.exception.response.headers["x-ai-cache"], "MISS")
            self.assertEqual(calls(self.mock) - before, 2, mark)

    def test_half_an_answer_is_not_stored(self):
        for mark in ["broken", "truncated", "error"]:
            before = calls(self.mock)
            for _ in range(2):
                raw = self.chat(f"Fail [[mock:{mark}]]", stream=True)()
                self.assertEqual(raw.headers["x-ai-cache"], "MISS")
                chunks, failed = [], False
                try:
                    for chunk in raw.parse():
                        chunks.append(chunk)
                except Exception:
                    failed = True
                # One that ends too soon is not noticed by the client; all the more by the cache.
                self.assertEqual(failed, mark != "truncated", mark)
                self.assertTrue(chunks, "what came before is seen")
                self.assertIsNone(chunks[-1].choices[0].finish_reason)
            self.assertEqual(calls(self.mock) - before, 2, mark)

    def test_many_at_once_are_asked_once(self):
        async def ask(stream):
            async with self.with_key("key-1", openai.AsyncOpenAI) as client:

                async def one():
                    messages = [{"role": "user", "content": "All at once [[mock:wait=500]]"}]
                    answer = await client.chat.completions.create(
                        model="gpt-test", messages=messages, stream=stream
                    )
                    return [chunk async for chunk in answer] if stream else answer

                return await asyncio.gather(*(one() for _ in range(50)))

        for stream in (False, True):
            before = calls(self.mock)
            answers = asyncio.run(ask(stream))
            self.assertEqual(calls(self.mock) - before, 1)
            self.assertTrue(all(answer == answers[0] for answer in answers))


if __name__ == "__main__":
    unittest.main()

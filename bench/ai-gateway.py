#!/usr/bin/env python3
"""The gateway's AI cache in one run beside the gateway without layers and a LiteLLM proxy with its
cache in memory, all before the mock: microseconds of a hit, of a miss to the first byte of its stream,
and the commands that a hit costs Redis.

    cargo build --release -p gateway -p mock-llm
    bench/ai-gateway.py [ROUNDS] [--litellm DIRECTORY/bin/litellm]

LiteLLM (`pip install 'litellm[proxy]'` into a virtual environment) is left out if it is not named, and
so is Redis if there is neither VALKEY_SERVER_BIN nor a redis-server. One connection, one request after
another, in turns. Everything is on loopback and ends with the run, which takes a minute or two."""

import argparse
import json
import os
import pathlib
import re
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RELEASE = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
HITS, MISSES, REDIS_HITS = 200, 100, 200
MASTER_KEY = f"sk-{secrets.token_hex(24)}"
started = []


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(command, variables, log=subprocess.DEVNULL, **more):
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")} | variables
    process = subprocess.Popen(command, env=env, stderr=log, stdin=subprocess.DEVNULL, **more)
    started.append(process)
    return process


def serving(name, **variables):
    """Starts a program of ours: its port."""
    process = start([RELEASE / name], {"PORT": "0"} | variables, stdout=subprocess.PIPE, text=True)
    return int(re.search(r"http://127.0.0.1:(\d+)", process.stdout.readline()).group(1))


def gateway(mock, **variables):
    return serving(
        "gateway",
        GATEWAY_UPSTREAM=f"http://127.0.0.1:{mock}",
        GATEWAY_LISTEN="127.0.0.1:0",
        **variables,
    )


def listens(port, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            time.sleep(0.1)
    return False


class Client:
    """One connection."""

    def __init__(self, port):
        self.port = port
        self.connect()

    def connect(self):
        self.socket = socket.create_connection(("127.0.0.1", self.port), 60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, text, stream=False):
        """Microseconds to the first byte of the body, and to its end; and the head."""
        messages = [{"role": "user", "content": text}]
        body = json.dumps({"model": "mock", "messages": messages, "stream": stream}).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {MASTER_KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        begun = time.perf_counter_ns()
        self.socket.sendall(head.encode() + body)
        got, first = b"", None
        while True:
            piece = self.socket.recv(1 << 16)
            if not piece:
                sys.exit(f"the connection ended: {got.decode()}")
            got += piece
            end = got.find(b"\r\n\r\n") + 4
            if first is None and end > 3 and len(got) > end:
                first = time.perf_counter_ns()
            if end > 3 and self.is_whole(got[:end].lower(), got[end:]):
                last = time.perf_counter_ns()
                break
        head = got[:end].decode()
        if " 200 " not in head.split("\r\n")[0]:
            sys.exit(got.decode())
        return (first - begun) / 1000, (last - begun) / 1000, head

    @staticmethod
    def is_whole(head, body):
        length = re.search(rb"content-length: (\d+)", head)
        return len(body) == int(length.group(1)) if length else body.endswith(b"0\r\n\r\n")


def hits(client, text, status):
    # Whoever waits for its turn may have been hung up on.
    client.connect()
    times = []
    for _ in range(HITS):
        _, whole, head = client.ask(text)
        assert status is None or f"x-ai-cache: {status}" in head, head
        times.append(whole)
    return statistics.median(times)


def misses(client):
    times = [client.ask(secrets.token_hex(8), stream=True)[0] for _ in range(MISSES)]
    return statistics.median(times)


def litellm(program, mock, folder):
    port = free_port()
    config = pathlib.Path(folder, "litellm.yaml")
    model = {"model": "openai/mock", "api_base": f"http://127.0.0.1:{mock}/v1", "api_key": "k"}
    config.write_text(
        json.dumps(
            {
                "model_list": [{"model_name": "mock", "litellm_params": model}],
                "litellm_settings": {"cache": True, "cache_params": {"type": "local"}},
            }
        )
    )
    log = open(pathlib.Path(folder, "litellm.log"), "w+")
    variables = {
        "LITELLM_MASTER_KEY": MASTER_KEY,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        "NO_PROXY": "127.0.0.1",
    }
    command = [program, "--config", config, "--host", "127.0.0.1", "--port", str(port)]
    start(command, variables, log, stdout=log)
    if not listens(port, 120):
        log.seek(0)
        sys.exit(f"LiteLLM does not come up: {log.read()[-2000:]}")
    return port


def commands(redis):
    """How many commands a server has carried out but for those that a connection begins with."""
    with socket.create_connection(("127.0.0.1", redis), 10) as server:
        server.sendall(b"INFO commandstats\r\nQUIT\r\n")
        said = b"".join(iter(lambda: server.recv(1 << 16), b"")).decode()
    counts = re.findall(r"cmdstat_([a-z|]+):calls=(\d+)", said)
    ignored = ("info", "quit", "ping", "hello", "client", "auth", "select", "command", "cluster")
    return {name: int(n) for name, n in counts if not name.startswith(ignored)}


def redis_costs(mock, folder):
    server = os.environ.get("VALKEY_SERVER_BIN") or shutil.which("redis-server")
    if not server:
        return print("Redis: left out, there is no server")
    redis = free_port()
    quiet = {"stdout": subprocess.DEVNULL}
    start([server, "--port", str(redis), "--save", "", "--dir", folder], {}, **quiet)
    if not listens(redis, 10):
        sys.exit("Redis does not come up")
    variables = {
        "REDIS_URL": f"redis://127.0.0.1:{redis}",
        "GATEWAY_AI_CACHE_SECRET": secrets.token_hex(16),
        "GATEWAY_LAYERS": "ai-cache",
    }
    writer, reader = (Client(gateway(mock, **variables)) for _ in range(2))
    for number in range(REDIS_HITS):
        writer.ask(f"of Redis {number}")
    time.sleep(0.5)
    times, before = [], commands(redis)
    for number in range(REDIS_HITS):
        _, whole, head = reader.ask(f"of Redis {number}")
        assert "x-ai-cache: HIT" in head, head
        times.append(whole)
    told = {name: n - before.get(name, 0) for name, n in commands(redis).items()}
    told = {name: n for name, n in told.items() if n}
    total = sum(told.values()) / REDIS_HITS
    median = statistics.median(times)
    print(f"hit in Redis, by a process that has no copy: p50 {median:.0f} us, "
          f"{total:.2f} commands each {told}")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("rounds", nargs="?", type=int, default=5)
    options.add_argument("--litellm", type=pathlib.Path)
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            mock = serving("mock-llm")
            bare = Client(gateway(mock))
            ours = Client(gateway(mock, GATEWAY_LAYERS="ai-cache"))
            cases = {"bare": (bare, None), "ai-cache": (ours, "HIT")}
            if options.litellm:
                cases["LiteLLM"] = (Client(litellm(options.litellm, mock, folder)), None)
            for client, _ in cases.values():
                for _ in range(3):
                    client.ask("a hit")
            turns = []
            for _ in range(options.rounds):
                turn = {name: hits(client, "a hit", it) for name, (client, it) in cases.items()}
                turn |= {f"{name} miss": misses(cases[name][0]) for name in ("bare", "ai-cache")}
                turns.append(turn)
            p50 = {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}
            print(f"bare gateway, the mock answers: p50 {p50['bare']:.0f} us")
            print(f"hit in memory: p50 {p50['ai-cache']:.0f} us, "
                  f"{p50['ai-cache'] - p50['bare']:+.0f} us over the bare gateway")
            if "LiteLLM" in p50:
                print(f"hit of LiteLLM in memory: p50 {p50['LiteLLM']:.0f} us, "
                      f"{p50['LiteLLM'] / p50['ai-cache']:.0f} times ours")
            over = statistics.median(turn["ai-cache miss"] - turn["bare miss"] for turn in turns)
            print(f"miss, to the first byte of its stream: p50 {p50['ai-cache miss']:.0f} us, "
                  f"{over:+.0f} us over the bare gateway")
            redis_costs(mock, folder)
        finally:
            for process in reversed(started):
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


main()

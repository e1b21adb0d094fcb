#!/usr/bin/env python3
"""The gateway's cache hits beside those of nginx's proxy_cache and of Varnish, in one run: requests
per second and CPU time per request, over 16 and 64 connections, in turns.

    cargo build --release -p gateway && (cd bench && cargo build --release --bin cache-load)
    bench/gateway.py [ROUNDS]

Needs nginx and wrk (Debian: nginx-light, wrk), and takes Varnish where there is one. Everything is on loopback and ends with the run."""

import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TICK = 1e6 / os.sysconf("SC_CLK_TCK")
NGINX = """
{user} worker_processes 2; daemon off; pid {dir}/pid; error_log {dir}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 100000000;
  proxy_cache_path {dir}/cache levels=1:2 keys_zone=c:10m max_size=64m;
  client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  upstream up {{ server 127.0.0.1:{up}; keepalive 16; }}
  server {{ listen 127.0.0.1:{port}; location / {{
    proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_cache c;
  }} }}
}}
"""
VARNISH = """
vcl 4.1;
backend up {{ .host = "127.0.0.1"; .port = "{up}"; }}
"""


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def answers(port):
    """Waits until somebody listens there."""
    for _ in range(400):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.025)
    sys.exit(f"nobody listens on port {port}")


def stat(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def ticks(pid):
    """The CPU time of a process and its children so far."""
    total = 0
    for one in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = stat(one)
            if int(one) == pid or int(fields[1]) == pid:
                total += int(fields[11]) + int(fields[12])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


def measure(process, port, connections):
    before, begun = ticks(process.pid), time.time()
    command = ["wrk", "-t1", f"-c{connections}", "-d2s", f"http://127.0.0.1:{port}/items/7"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said:
        sys.exit(said)
    requests = int(re.search(r"(\d+) requests in", said).group(1))
    rate = requests / (time.time() - begun)
    return rate, (ticks(process.pid) - before) * TICK / requests


def start(*command):
    quiet = subprocess.DEVNULL
    return subprocess.Popen(list(map(str, command)), stdout=quiet, stderr=quiet)


def commands(folder, up, ports):
    """How the gateway and its peers are started, by name."""
    release = ROOT / "target/release"
    # Its workers would be somebody else, who may not write there.
    user = "user root root;" if os.geteuid() == 0 else ""
    pathlib.Path(folder, "nginx.conf").write_text(
        NGINX.format(dir=folder, up=up, port=ports["nginx"], user=user)
    )
    pathlib.Path(folder, "up.vcl").write_text(VARNISH.format(up=up))
    all = {
        "gateway": [
            release / "gateway",
            "--upstream", f"http://127.0.0.1:{up}",
            "--listen", f"127.0.0.1:{ports['gateway']}",
            "--layers", "response-cache",
        ],
        "nginx": ["nginx", "-c", f"{folder}/nginx.conf"],
    }
    if shutil.which("varnishd"):
        all["varnish"] = [
            "varnishd", "-F", "-j", "none", "-n", f"{folder}/varnish", "-f", f"{folder}/up.vcl",
            "-a", f"127.0.0.1:{ports['varnish']}", "-s", "malloc,64m",
        ]
    return all


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    up, ports = free_port(), {name: free_port() for name in ("gateway", "nginx", "varnish")}
    length = pathlib.Path(f"/tmp/tower-keep-bench-{os.getpid()}")
    length.write_text("1024")
    started = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            upstream = ROOT / "bench/target/release/cache-load"
            started.append(start(upstream, "--serve", "bare", up, 1))
            answers(up)
            servers = {}
            for name, command in commands(folder, up, ports).items():
                servers[name] = start(*command)
                started.append(servers[name])
                answers(ports[name])
            for connections in (16, 64):
                turns = []
                for _ in range(rounds):
                    turn = {
                        name: measure(server, ports[name], connections)
                        for name, server in servers.items()
                    }
                    turns.append(turn)
                for peer in (name for name in servers if name != "gateway"):
                    rate, cost = (
                        statistics.median(turn["gateway"][i] / turn[peer][i] for turn in turns)
                        for i in (0, 1)
                    )
                    print(
                        f"{connections} connections, beside {peer}: "
                        f"requests/s {rate:.2f}, CPU per request {cost:.2f}"
                    )
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait()
            length.unlink()


main()

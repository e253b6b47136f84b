"""Measures two proxies in turn. Arguments: seconds, and NAME=URL=PROCESS for each; the first is the
measure of the other. The rounds alternate, so that whatever else the machine does meets both."""

import os
import re
import socket
import statistics
import subprocess
import sys
import time

ROUNDS = 3
seconds = sys.argv[1]
proxies = [argument.split("=") for argument in sys.argv[2:]]


def in_ms(text):
    value, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def family(process):
    children = subprocess.run(["pgrep", "-P", process], capture_output=True, text=True).stdout.split()
    return [process, *children]


def computing(process):
    """Microseconds that its threads have run."""
    ticks = 0
    for number in family(process):
        with open(f"/proc/{number}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks * 1_000_000 / os.sysconf("SC_CLK_TCK")


def small(url, process):
    arguments = ["wrk", "--threads", "1", "--connections", "32", "--duration", f"{seconds}s", "--latency"]
    before = computing(process)
    report = subprocess.run([*arguments, f"{url}/api/v2/small"], capture_output=True, text=True, check=True)
    used = computing(process) - before
    assert "Non-2xx" not in report.stdout and "Socket errors" not in report.stdout, report.stdout
    found = {share: in_ms(re.search(rf"^ +{share}%\s+(\S+)", report.stdout, re.M)[1]) for share in (50, 99)}
    count = int(re.search(r"(\d+) requests in", report.stdout)[1])
    return float(re.search(r"Requests/sec:\s+([\d.]+)", report.stdout)[1]), found[50], found[99], used / count


def stream(url):
    """Seconds for ten times 10 MB."""
    began = time.perf_counter()
    for _ in range(10):
        arguments = ["curl", "--silent", "--fail", "--output", "/dev/null", "--write-out", "%{size_download}"]
        done = subprocess.run([*arguments, f"{url}/api/v2/large"], capture_output=True, text=True, check=True)
        assert done.stdout == "10000000", done.stdout
    return time.perf_counter() - began


def memory(process):
    kib = 0
    for number in family(process):
        with open(f"/proc/{number}/status") as status:
            kib += int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])
    return kib / 1024


def thousand(url, process):
    """Resident MiB with 1,000 open connections, each after one request."""
    host, port = url.removeprefix("http://").split(":")
    head = f"GET /api/v2/small HTTP/1.1\r\nhost: {host}:{port}\r\n\r\n".encode()
    connections = []
    for _ in range(1000):
        connection = socket.create_connection((host, int(port)))
        connection.sendall(head)
        connections.append(connection)
    for connection in connections:
        assert connection.recv(12) == b"HTTP/1.1 200"
    used = memory(process)
    for connection in connections:
        connection.close()
    return used


before = {name: memory(process) for name, _, process in proxies}
results = {name: {"small": [], "stream": []} for name, *_ in proxies}
for _ in range(ROUNDS):
    for name, url, process in proxies:
        results[name]["small"].append(small(url, process))
        results[name]["stream"].append(stream(url))
table = {}
for name, url, process in proxies:
    columns = [statistics.median(column) for column in zip(*results[name]["small"])]
    table[name] = [*columns, statistics.median(results[name]["stream"]), before[name], thousand(url, process)]

rows = ["requests a second", "p50, ms", "p99, ms", "computing for a request, µs", "ten times 10 MB, s", "memory at start, MiB",
        "memory with 1,000 connections, MiB"]
measure, other = (name for name, *_ in proxies)
print(f"| | {measure} | {other} | ratio |\n| --- | --- | --- | --- |")
for row, one, two in zip(rows, table[measure], table[other]):
    print(f"| {row} | {one:,.2f} | {two:,.2f} | {two / one:.2f} |")

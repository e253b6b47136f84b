"""Clients that hang up, faults behind the proxy, and SIGTERM at the end.

Arguments: the command, a folder for its files, and seconds. Nothing may be lost and nothing spent twice: the
fake server counts. Every fault leaves the answer that holds a rotated refresh token alone.
"""

import collections
import http.client
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

command, folder, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
environment = {
    "HOME": folder,
    "XDG_CONFIG_HOME": os.path.join(folder, "config"),
    "XDG_STATE_HOME": os.path.join(folder, "state"),
}
# The longest wait for a process or an answer, in seconds. Each takes far less.
PATIENCE = 90
counts = collections.Counter()
counting = threading.Lock()
# The proxy was told to end: that it takes no further connections is right.
ending = threading.Event()
over = threading.Event()


def start(*arguments):
    process = subprocess.Popen([command, *arguments], env=environment, stdout=subprocess.PIPE, text=True)
    # One that says nothing is ended, and then there is nothing to read.
    limit = threading.Timer(PATIENCE, process.kill)
    limit.start()
    line = process.stdout.readline()
    limit.cancel()
    assert line, f"{arguments} did not start"
    return process, json.loads(line)


def run(*arguments, text=None):
    subprocess.run([command, *arguments], env=environment, input=text, text=True, check=True, timeout=PATIENCE)


def control(method, path, body=None):
    connection = http.client.HTTPConnection(fake["control_url"].removeprefix("http://"), timeout=PATIENCE)
    connection.request(method, path, json.dumps(body or {}))
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 200, text
    return json.loads(text)


def count(what):
    with counting:
        counts[what] += 1


def outcome(answer):
    """`answered`, or the status with the proxy's own reason."""
    if not answer:
        return "no answer"
    head, _, rest = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:])
    status = " ".join(lines[0].split(" ")[1:2])
    if "content-length" in fields and len(rest) < int(fields["content-length"]):
        return "broken off"
    reason = fields.get("teamup-auth-error", "the API's own")
    return "answered" if status == "200" else f"{status} {reason}"


def client(number):
    """Requests of all kinds, one after the other; one in four is given up."""
    chance = random.Random(number)
    while not ending.is_set():
        body = b"x" * chance.choice([0, 10, 50_000, 2_000_000])
        method, path = ("POST", "/api/v2/uploads") if body else ("GET", "/api/v2/events?page_size=100")
        head = f"{method} {path} HTTP/1.1\r\nhost: {address[0]}:{address[1]}\r\n"
        head += f"teamup-request-mode: {chance.choice(['customer', 'provider'])}\r\nconnection: close\r\n"
        head += f"content-length: {len(body)}\r\n\r\n" if body else "\r\n"
        try:
            with socket.create_connection(address, timeout=PATIENCE) as connection:
                if chance.random() < 0.25:
                    if chance.random() < 0.5:
                        connection.sendall(head.encode() + body[: chance.randrange(len(body) + 1)])
                    else:
                        connection.sendall(head.encode() + body)
                        connection.recv(chance.choice([1, 100]))
                    count("hung_up")
                    continue
                connection.sendall(head.encode() + body)
                answer = connection.makefile("rb").read()
                if answer or not ending.is_set():
                    count(outcome(answer))
        except OSError as error:
            if not ending.is_set():
                count(type(error).__name__)


def mischief():
    chance = random.Random(0)
    of_the_api = [
        {"on": "api", "fault": "drop_connection"},
        {"on": "api", "fault": "status", "status": 503},
        {"on": "api", "fault": "cut_off"},
        {"on": "api", "fault": "delay", "delay": 0.3},
    ]
    of_refreshes = [
        {"on": "refresh", "fault": "status", "status": 503},
        {"on": "refresh", "fault": "status", "status": 429, "retry_after": 1},
        {"on": "refresh", "fault": "delay", "delay": 0.5},
        {"on": "refresh", "fault": "delay", "answer_delay": 0.5},
    ]
    for tick in itertools.count():
        if over.wait(chance.random() * 1.5):
            return
        # One that nothing has met does not wait for later requests.
        control("DELETE", "/faults")
        # Each of these leads to a refresh, and after five of them in 30 s the library lets 401s pass.
        if tick % 20 == 2:
            control("POST", "/faults", chance.choice(of_refreshes))
            control("POST", "/expire")
        elif tick % 20 == 12:
            control("POST", "/faults", {"on": "api", "fault": "unauthorized"})
        else:
            control("POST", "/faults", chance.choice(of_the_api))


fake_process, fake = start("fake", "--keep-entries", "1000")
try:
    run("login", "--tokens", "--base-url", fake["base_url"], text=json.dumps(fake["tokens"]))
    proxy, where = start("proxy", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log", "error")
    host, port = where["url"].removeprefix("http://").split(":")
    address = (host, int(port))
    threads = [threading.Thread(target=client, args=(number,)) for number in range(30)]
    threads.append(threading.Thread(target=mischief))
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    # In the midst of it all.
    control("POST", "/expire")
    ending.set()
    proxy.send_signal(signal.SIGTERM)
    code = proxy.wait(timeout=PATIENCE)
    over.set()
    for thread in threads:
        thread.join()
    control("DELETE", "/faults")
    # What is stored is the newest: it can be spent.
    run("refresh")
    seen = control("GET", "/counts")
    print(f"soak: {dict(counts)}, the API saw {seen}")
    assert code == 0, f"the proxy ended with {code}"
    assert seen["double_spends"] == 0 and seen["mixed_logins"] == 0, seen
    assert seen["rejected_refresh_requests"] == 0, seen
    # A request without an outcome.
    assert counts["TimeoutError"] == 0, counts
    assert counts["answered"] > 10 * seconds and counts["hung_up"] > seconds, counts
    # Faults are the exception.
    assert counts["answered"] > sum(counts.values()) / 2, counts
    assert seen["rotations"] > seconds / 10, seen
finally:
    ending.set()
    over.set()
    fake_process.terminate()
    fake_process.wait(timeout=PATIENCE)

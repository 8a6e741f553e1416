"""The embedded servers: they start, keep their data, stay on the loopback interface, and never outlive us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from reel_shared.embedded import Seaweed, Server, ServerFailed, Valkey, spawn
from reel_shared.embedded.ports import free_port, is_free
from reel_shared.embedded.postgres import Postgres
from reel_shared.embedded.process import birth
from reel_shared.object_storage import Storage

pytestmark = pytest.mark.servers

KINDS: dict[str, type[Server]] = {"valkey": Valkey, "seaweed": Seaweed, "postgres": Postgres}


@pytest.fixture
def folder(servers_dir: Path, request: pytest.FixtureRequest) -> Path:
    path = servers_dir / f"embedded-{os.getpid()}-{abs(hash(request.node.nodeid))}"
    path.mkdir()
    return path


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, folder: Path) -> Iterator[Server]:
    made = KINDS[request.param](folder / request.param)
    with made:
        yield made


def write(server: Server, value: str) -> None:
    if isinstance(server, Valkey):
        with redis.Redis.from_url(server.url) as client:
            client.rpush("list", value)
        time.sleep(1.1)  # the append-only file is written once a second
    elif isinstance(server, Seaweed):
        store = Storage(server.settings())
        store.ensure_bucket()
        store.put_at(f"list/{value}", value.encode(), "text/plain")
    elif isinstance(server, Postgres):
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS list (value text)")
            connection.execute("INSERT INTO list VALUES (%s)", [value])


def read(server: Server) -> list[str]:
    if isinstance(server, Valkey):
        with redis.Redis.from_url(server.url, decode_responses=True) as client:
            return [str(value) for value in client.lrange("list", 0, -1)]
    if isinstance(server, Seaweed):
        store = Storage(server.settings())
        return [store.get_bytes(info.key, max_bytes=9).decode() for info in store.list("list/")]
    assert isinstance(server, Postgres)
    with psycopg.connect(server.url) as connection:
        return [row[0] for row in connection.execute("SELECT value FROM list ORDER BY value")]


def test_data_and_ports_survive_a_kill_and_a_stop(server: Server) -> None:
    ports, secret = dict(server.ports), server.secret
    write(server, "a")
    server.kill()
    assert not server.running
    server.start()
    write(server, "b")
    server.restart()
    assert read(server) == ["a", "b"]
    assert (server.ports, server.secret) == (ports, secret)


def test_only_the_loopback_interface_listens(server: Server) -> None:
    expected = set(server.ports.values())
    deadline = time.monotonic() + 5
    while not expected <= set(listening := listeners(server.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(listening.values()) == {"0100007F"}
    assert expected <= set(listening)
    assert set(listening) <= expected | {port + 10_000 for port in expected}


def listeners(pid: int) -> dict[int, str]:
    """Return the ports a process listens on, with the address as the kernel writes it."""
    inodes = sockets_of(pid)
    found = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, _, port = fields[1].partition(":")
                found[int(port, 16)] = address
    return found


def sockets_of(pid: int) -> set[str]:
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


def test_no_secret_is_visible_to_other_users(server: Server) -> None:
    command = Path(f"/proc/{server.pid}/cmdline").read_bytes().decode()
    assert server.secret not in command
    for path in server.directory.iterdir():
        if path.is_file() and server.secret in path.read_text(errors="replace"):
            assert path.stat().st_mode & 0o077 == 0, path


def test_credentials_are_needed(folder: Path) -> None:
    with Valkey(folder / "valkey") as valkey:
        stranger = redis.Redis(port=valkey.ports["redis"], host=valkey.host)
        with pytest.raises(redis.AuthenticationError):
            stranger.ping()
    with Postgres(folder / "postgres") as postgres, pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(host=postgres.host, port=postgres.ports["postgres"], user="reelsight", password="x")


def test_two_stacks_run_side_by_side(folder: Path) -> None:
    with (
        Valkey(folder / "a" / "valkey") as valkey,
        Valkey(folder / "b" / "valkey") as other_valkey,
        Seaweed(folder / "a" / "s3") as s3,
        Seaweed(folder / "b" / "s3") as other_s3,
    ):
        for server in (valkey, other_valkey, s3, other_s3):
            write(server, "1" if server in (valkey, s3) else "2")
        assert read(valkey) == read(s3) == ["1"]
        assert read(other_valkey) == read(other_s3) == ["2"]


def test_a_port_that_was_taken_is_replaced(folder: Path) -> None:
    server = Valkey(folder / "valkey")
    with server:
        write(server, "a")
    kept = server.ports["redis"]
    thief = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import socket,sys,time; s=socket.create_server(('127.0.0.1', int(sys.argv[1])));"
            "print('up', flush=True); time.sleep(60)",
            str(kept),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert thief.stdout is not None
        thief.stdout.readline()
        with Valkey(folder / "valkey") as again:
            assert again.ports["redis"] != kept
            assert read(again) == ["a"]
    finally:
        thief.kill()
        thief.communicate()


def test_a_directory_has_one_owner(folder: Path) -> None:
    with Valkey(folder / "valkey"), pytest.raises(ServerFailed, match="in use"):
        Valkey(folder / "valkey").start()
    with Valkey(folder / "valkey") as again:
        assert again.running


def test_a_server_that_cannot_start_says_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    complaint = "print('the disk is full'); raise SystemExit(1)"
    monkeypatch.setattr(Valkey, "_command", lambda _self: [sys.executable, "-c", complaint])
    with pytest.raises(ServerFailed, match="the disk is full"):
        Valkey(folder / "valkey").start()


OWNER = """
import sys, threading, time
from pathlib import Path
from reel_shared.embedded import Seaweed, Valkey, spawn
from reel_shared.embedded.postgres import Postgres
folder = Path(sys.argv[1])
servers = [Valkey(folder / "valkey"), Seaweed(folder / "s3"), Postgres(folder / "postgres")]
starter = threading.Thread(target=lambda: [server.start() for server in servers])
starter.start()
starter.join()  # the thread that started them is gone; they must not be
stubborn = "import signal,subprocess,time; signal.signal(15, signal.SIG_IGN);" \\
    "subprocess.Popen(['sleep', '600']); time.sleep(600)"
other = spawn([sys.executable, "-c", stubborn], log=folder / "other.log", grace=0.5)
time.sleep(0.5)
print(*[server.pid for server in servers], other.pid, flush=True)
time.sleep(600)
"""


def group(leader: int) -> set[int]:
    """Every process of a session, its leader included."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z" and leader in (int(fields[2]), int(path.parent.name)):
            found.add(int(path.parent.name))
    return found


@pytest.mark.chaos
def test_nothing_outlives_an_owner_killed_with_sigkill(folder: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pids = [int(pid) for pid in owner.stdout.readline().split()]
    assert len(pids) == 4
    assert all(birth(pid) for pid in pids)
    assert len(group(pids[3])) == 2
    owner.kill()
    owner.communicate()
    deadline = time.monotonic() + 8
    while any(group(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert {pid: group(pid) for pid in pids} == {pid: set() for pid in pids}
    with Valkey(folder / "valkey") as valkey:
        assert valkey.pid not in pids


@pytest.mark.chaos
def test_a_command_ends_when_its_guard_is_killed(folder: Path) -> None:
    process = spawn([sys.executable, "-c", "import time; time.sleep(600)"], log=folder / "log")
    guard = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(guard, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while birth(process.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not birth(process.pid)


def test_a_leftover_of_an_earlier_run_is_ended(folder: Path) -> None:
    leftover = subprocess.Popen(["sleep", "600"])
    home = folder / "valkey"
    home.mkdir()
    (home / "server.pid").write_text(f"{leftover.pid} {birth(leftover.pid)}")
    with Valkey(home):
        assert leftover.wait(5) == -signal.SIGTERM
    stranger = subprocess.Popen(["sleep", "600"])
    (home / "server.pid").write_text(f"{stranger.pid} 1")  # the id was given to another process since
    with Valkey(home):
        assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_exit_status_and_output_are_kept(folder: Path) -> None:
    process = spawn([sys.executable, "-c", "print('hello'); raise SystemExit(7)"], log=folder / "log")
    assert process.wait(10) == 7
    assert (folder / "log").read_text() == "hello\n"
    killed = spawn(["sleep", "600"], log=folder / "log")
    assert killed.running
    assert killed.kill() == 128 + signal.SIGKILL
    with pytest.raises(OSError, match="could not be started"):
        spawn(["/nowhere/program"], log=folder / "log")


def test_free_ports_lie_below_those_of_outgoing_connections() -> None:
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(50):
        port = free_port(and_plus=10_000)
        assert port + 10_000 < min(low, 32768)
        assert is_free(port)
        assert is_free(port + 10_000)

"""Webhooks before a real receiver: what is signed and sent, tried again, given up, and to which addresses never."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import sqlalchemy as sa
from standardwebhooks import Webhook, WebhookVerificationError

from reel_shared import contracts, deliveries, jobs, webhooks
from reel_shared.db.engine import engine, reading, transact, transaction
from reel_shared.db.models import WebhookDelivery, WebhookEndpoint, utcnow
from reel_shared.deliveries import Sender
from reel_shared.errors import BadRequest, Conflict, Forbidden, Unprocessable
from reel_shared.security import Principal, create_key, revoke_key
from reel_shared.testing.stack import Reel
from reel_shared.web.envelope import envelope

RESULT = contracts.MakeVariantsResult(sources=1, made={}, already=0, skipped_low_contrast={})
pytestmark = pytest.mark.servers


class Receiver:
    """Notes what it is sent and answers with ``status``; holds its answers while ``held`` is set."""

    def __init__(self) -> None:
        self.seen: list[tuple[dict[str, str], bytes]] = []
        self.status, self.location = 204, ""
        self.free = threading.Event()
        self.free.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.seen.append((dict(self.headers), body))
                receiver.free.wait(60)
                self.send_response(receiver.status)
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.host}/hook"

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.seen]


@pytest.fixture
def receiver(reel_database: Reel) -> Iterator[Receiver]:
    made = Receiver()
    reel_database.configure(webhooks__allowed_hosts=json.dumps([made.host]))
    yield made
    made.free.set()
    made.server.shutdown()
    made.server.server_close()


def key(*scopes: str) -> Principal:
    with transaction() as session:
        row, _ = create_key(session, "test", scopes)
        return Principal(row.id, frozenset(scopes))


def add(principal: Principal, url: str, **more: Any) -> WebhookEndpoint:
    return transact(lambda session: webhooks.add(session, principal, url, **more))


def submit(owner: str, **more: Any) -> str:
    with transaction() as session:
        request = contracts.MakeVariantsRequest()
        return jobs.submit(session, contracts.MAKE_VARIANTS, request, owner=owner, **more).id


def end(job_id: str, how: str = "succeeded") -> None:
    with transaction() as session:
        if how == "canceled":
            jobs.cancel(session, job_id)
            return
        lease = jobs.claim(session, job_id)
        assert lease is not None
        if how == "succeeded":
            jobs.succeed(session, lease, jobs.Outcome(RESULT))
        else:
            jobs.fail(session, lease, BadRequest("no"))


def told(endpoint: WebhookEndpoint | None = None) -> list[WebhookDelivery]:
    query = sa.select(WebhookDelivery).order_by(WebhookDelivery.created_at, WebhookDelivery.id)
    with reading() as session:
        return list(
            session.scalars(query.where(WebhookDelivery.endpoint_id == endpoint.id) if endpoint else query)
        )


def of(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    with reading() as session:
        return session.get_one(WebhookEndpoint, endpoint.id)


def send() -> int:
    """Send what is due and wait for the answers."""
    futures = Sender().step()
    for future in futures:
        future.result()
    return len(futures)


def make_due() -> None:
    with transaction() as session:
        session.execute(
            sa.update(WebhookDelivery).where(WebhookDelivery.state == "pending").values(next_at=utcnow())
        )


# --- what is noted ----------------------------------------------------------------------------------------


def test_each_end_is_noted_for_whoever_wants_it_in_the_transaction_of_the_end(
    receiver: Receiver, databases: str
) -> None:
    mine, reader = key("submit"), key("read")
    plain = add(mine, receiver.url)
    failures = add(mine, receiver.url, events=["job.failed"])
    other_kind = add(mine, receiver.url, kinds=["trainer.train_model"])
    everybody = add(reader, receiver.url, all_jobs=True)
    nobody = add(reader, receiver.url)
    done, lost, stopped, foreign = (submit(owner) for owner in (mine.id, mine.id, mine.id, "key_other"))
    part = submit(mine.id, parent_id=done, part=0)
    end(part)
    for job_id, how in ((done, "succeeded"), (lost, "failed"), (stopped, "canceled"), (foreign, "succeeded")):
        end(job_id, how)
    assert [(row.event, row.job_id) for row in told(plain)] == [
        ("job.succeeded", done),
        ("job.failed", lost),
        ("job.canceled", stopped),
    ]
    assert [row.job_id for row in told(failures)] == [lost]
    assert [row.job_id for row in told(everybody)] == [done, lost, stopped, foreign]
    assert told(other_kind) == told(nobody) == []
    rolled_back = submit(mine.id)
    with suppress(KeyError), transaction() as session:
        lease = jobs.claim(session, rolled_back)
        assert lease is not None
        jobs.succeed(session, lease, jobs.Outcome(RESULT))
        raise KeyError
    assert rolled_back not in [row.job_id for row in told()]


def test_without_webhooks_the_end_of_a_job_asks_nothing_more(reel_database: Reel) -> None:
    asked: list[str] = []
    job_id = submit("key_1")
    sa.event.listen(engine(), "before_cursor_execute", lambda *args: asked.append(args[2]))
    end(job_id)
    ours = [statement for statement in asked if "webhook" in statement]
    assert len(ours) == 1
    assert ours[0].startswith("UPDATE jobs")


def test_who_may_be_told_of_what(receiver: Receiver, reel_database: Reel) -> None:
    mine = key("submit")
    with pytest.raises(Forbidden):
        add(mine, receiver.url, all_jobs=True)
    with pytest.raises(Unprocessable, match="kinds are"):
        add(mine, receiver.url, kinds=["trainer.nonsense"])
    for _ in range(webhooks.MOST_OF_A_KEY):
        add(mine, receiver.url)
    with pytest.raises(Conflict, match="delete one"):
        add(mine, receiver.url)


# --- addresses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/hook",
        "https://[::1]/hook",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.7/hook",
        "https://example.org:6379/",
        "https://user:secret@example.org/",  # pragma: allowlist secret
        "http://example.org/hook",
        "ftp://example.org/hook",
        "nonsense",
    ],
)
def test_an_address_that_is_never_called_is_refused_at_the_door(reel_database: Reel, url: str) -> None:
    mine = key("submit")
    with pytest.raises(Unprocessable):
        add(mine, url)


def test_a_name_that_leads_inside_is_refused_when_it_is_told(reel_database: Reel) -> None:
    mine = key("submit")
    endpoint = add(mine, "https://localhost/hook")
    end(submit(mine.id))
    assert send() == 1
    [row] = told(endpoint)
    assert (row.state, row.attempt, row.tries[0]["status"]) == ("pending", 1, None)
    assert "not on the public internet" in row.tries[0]["error"]


def test_a_host_that_is_no_longer_named_is_told_nothing_more(receiver: Receiver, reel_database: Reel) -> None:
    mine = key("submit")
    endpoint = add(mine, receiver.url)
    end(submit(mine.id))
    reel_database.configure(webhooks__allowed_hosts="[]")
    assert send() == 1
    assert receiver.seen == []
    assert told(endpoint)[0].attempt == 1


def test_a_redirect_is_a_failure_and_not_followed(receiver: Receiver) -> None:
    mine = key("submit")
    receiver.status, receiver.location = 307, receiver.url + "/elsewhere"
    endpoint = add(mine, receiver.url)
    end(submit(mine.id))
    send()
    assert len(receiver.seen) == 1
    assert told(endpoint)[0].tries[0]["status"] == 307


# --- what is sent -----------------------------------------------------------------------------------------


def test_what_is_sent_is_the_job_and_its_signature_verifies(receiver: Receiver) -> None:
    mine = key("submit")
    endpoint = add(mine, receiver.url)
    job_id = submit(mine.id, labels={"film": "Mülan"})
    end(job_id)
    assert send() == 1
    [(headers, body)] = receiver.seen
    whole = Webhook(endpoint.secret).verify(body, headers)
    with reading() as session:
        assert whole["data"] == envelope(jobs.get(session, job_id))
    assert (whole["type"], whole["data"]["metadata"]) == ("job.succeeded", {"film": "Mülan"})
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"].startswith("Reelsight-Webhooks/")
    [row] = told(endpoint)
    assert (row.state, row.id, row.tries[0]["status"]) == ("delivered", headers["webhook-id"], 204)
    for forged in (body.replace(b"succeeded", b"failed"), body + b" "):
        with pytest.raises(WebhookVerificationError):
            Webhook(endpoint.secret).verify(forged, headers)
    late = {**headers, "webhook-timestamp": str(int(time.time()) - 3600)}
    with pytest.raises(WebhookVerificationError, match="old"):
        Webhook(endpoint.secret).verify(body, late)
    assert send() == 0


def test_a_rolled_secret_signs_beside_the_one_before_for_its_time(receiver: Receiver) -> None:
    mine = key("submit")
    endpoint = add(mine, receiver.url)

    def roll(hours: float) -> str:
        with transaction() as session:
            return webhooks.roll_secret(session.get_one(WebhookEndpoint, endpoint.id), overlap_hours=hours)

    def believed_by(*secrets: str) -> list[bool]:
        end(submit(mine.id))
        assert send() == 1
        headers, body = receiver.seen[-1]
        believed = []
        for secret in secrets:
            try:
                believed.append(bool(Webhook(secret).verify(body, headers)))
            except WebhookVerificationError:
                believed.append(False)
        return believed

    first = endpoint.secret
    second = roll(1)
    third = roll(2)
    assert believed_by(first, second, third) == [True, True, True]
    with transaction() as session:  # an hour and a half later
        row = session.get_one(WebhookEndpoint, endpoint.id)
        earlier = [(one, utcnow() + timedelta(hours=hours)) for one, hours in ((first, -0.5), (second, 0.5))]
        row.old_secrets = [{"secret": one, "until": until.isoformat()} for one, until in earlier]
        assert webhooks.old_secrets_until(row) == earlier[1][1]
    assert believed_by(first, second, third) == [False, True, True]
    for _ in range(webhooks.MOST_OLD_SECRETS - 1):
        newest = roll(1)
    with pytest.raises(Conflict, match="0 hours"):
        roll(1)
    known_to_others = newest
    newest = roll(0)
    assert believed_by(first, second, third, known_to_others, newest) == [False] * 4 + [True]


def test_a_failure_is_tried_again_later_each_time_under_the_same_id_and_given_up(
    receiver: Receiver, reel_database: Reel
) -> None:
    reel_database.configure(webhooks__attempts=3)
    mine = key("submit")
    endpoint = add(mine, receiver.url)
    end(submit(mine.id))
    receiver.status = 503
    waits = []
    for _ in range(3):
        began = utcnow()
        assert send() == 1
        [row] = told(endpoint)
        waits.append((row.next_at - began).total_seconds() if row.next_at else None)
        assert send() == 0, "not before it is due"
        make_due()
    assert waits[0] == pytest.approx(5, abs=1)
    assert waits[1] == pytest.approx(20, abs=3)
    assert waits[2] is None
    assert (row.state, [tried["status"] for tried in row.tries]) == ("failed", [503] * 3)
    assert len(set(receiver.ids())) == 1
    assert of(endpoint).failing_since is not None
    receiver.status = 200
    transact(lambda session: webhooks.redeliver(session, session.get_one(WebhookDelivery, row.id)))
    assert send() == 1
    [row] = told(endpoint)
    assert (row.state, len(row.tries), len(set(receiver.ids()))) == ("delivered", 4, 1)
    assert of(endpoint).failing_since is None


def test_an_endpoint_that_only_fails_is_disabled_and_told_everything_due_when_enabled(
    receiver: Receiver,
) -> None:
    mine = key("submit")
    endpoint = add(mine, receiver.url)
    receiver.status = 500
    end(submit(mine.id))
    send()
    with transaction() as session:
        session.get_one(WebhookEndpoint, endpoint.id).failing_since = utcnow() - timedelta(hours=121)
    make_due()
    assert send() == 1
    assert "500" in of(endpoint).disabled_reason
    end(submit(mine.id))
    make_due()
    assert send() == 0
    assert len(told(endpoint)) == 1, "nothing is noted for one that is disabled"
    with pytest.raises(Conflict, match="enable"):
        transact(lambda session: webhooks.ping(session, session.get_one(WebhookEndpoint, endpoint.id)))
    receiver.status = 200
    transact(lambda session: webhooks.enable(session.get_one(WebhookEndpoint, endpoint.id)))
    assert send() == 1
    assert told(endpoint)[0].state == "delivered"


def test_an_endpoint_that_says_it_is_gone_is_disabled_at_once(receiver: Receiver) -> None:
    mine = key("submit")
    endpoint = add(mine, receiver.url)
    receiver.status = 410
    transact(lambda session: webhooks.ping(session, session.get_one(WebhookEndpoint, endpoint.id)))
    assert send() == 1
    assert json.loads(receiver.seen[0][1]) | {"timestamp": ""} == {
        "type": "ping",
        "timestamp": "",
        "data": {"endpoint_id": endpoint.id},
    }
    assert "410" in of(endpoint).disabled_reason


def test_with_its_key_an_endpoint_falls_silent(receiver: Receiver) -> None:
    mine = key("submit")
    add(mine, receiver.url)
    end(submit(mine.id))
    transact(lambda session: revoke_key(session, mine.id))
    end(submit(mine.id))
    assert len(told()) == 1
    assert send() == 0


def test_one_that_is_slow_to_fail_keeps_no_other_waiting(receiver: Receiver, reel_database: Reel) -> None:
    mine = key("submit")
    slow = Receiver()
    slow.free.clear()
    reel_database.configure(webhooks__allowed_hosts=json.dumps([receiver.host, slow.host]))
    add(mine, slow.url)
    for _ in range(12):
        end(submit(mine.id))
    good = add(mine, receiver.url)
    end(submit(mine.id))
    sender = Sender()
    sender.step()
    until(lambda: len(slow.seen) == deliveries.AT_ONCE, "the slow one has as many as it may")
    until(lambda: told(good)[0].state == "delivered", "the other one has been told")
    sender.step()
    assert len(slow.seen) == deliveries.AT_ONCE
    slow.free.set()
    slow.server.shutdown()
    slow.server.server_close()


def test_a_burst_is_told_without_a_rest(receiver: Receiver) -> None:
    mine = key("submit")
    endpoint = add(mine, receiver.url)
    for _ in range(60):
        transact(lambda session: webhooks.ping(session, session.get_one(WebhookEndpoint, endpoint.id)))
    sender = Sender()
    sender.start()
    rests = 60 / deliveries.AT_ONCE * deliveries.LOOK_SECONDS
    until(lambda: len(receiver.seen) == 60, "all are told", seconds=0.8 * rests)
    sender.stop()
    assert len(set(receiver.ids())) == 60
    assert {row.state for row in told(endpoint)} == {"delivered"}


def until(condition: Callable[[], Any], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_a_sender_that_is_killed_loses_nothing(
    receiver: Receiver, reel_database: Reel, databases: str
) -> None:
    reel_database.configure(webhooks__timeout_seconds=1, jobs__reaper_seconds=0.2)
    mine = key("submit")
    endpoint = add(mine, receiver.url)
    end(submit(mine.id))
    receiver.free.clear()
    command = [sys.executable, "-m", "reel_shared.outbox"]
    with subprocess.Popen(command, env=reel_database.env) as first:
        until(lambda: receiver.seen, "the first sender has begun")
        first.kill()
    receiver.free.set()
    with subprocess.Popen(command, env=reel_database.env) as second:
        until(lambda: told(endpoint)[0].state == "delivered", "another one has sent it")
        second.terminate()
    assert second.returncode == 0
    assert len(receiver.seen) == 2
    assert len(set(receiver.ids())) == 1, "a receiver knows it by its id"


def test_old_deliveries_are_deleted(receiver: Receiver, databases: str) -> None:
    mine = key("submit")
    add(mine, receiver.url)
    old, new = submit(mine.id), submit(mine.id)
    end(old)
    end(new)
    with transaction() as session:
        session.execute(
            sa.update(WebhookDelivery)
            .where(WebhookDelivery.job_id == old)
            .values(created_at=utcnow() - timedelta(days=31))
        )
    assert transact(webhooks.forget_old) == 1
    assert [row.job_id for row in told()] == [new]

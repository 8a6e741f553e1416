"""The users that `setup` makes at a MinIO: what is asked of its admin API, by a stand-in that reads it.

No MinIO runs here: that the real one does what it is asked has not been seen.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pytest
from minio.crypto import encrypt
from pydantic import SecretStr

from reel_shared.bucket_rights import RIGHTS, policy
from reel_shared.bucket_users import make_users
from reel_shared.errors import StorageUnavailable
from reel_shared.settings import S3

ADMIN = "the-admins-secret"


class Admin(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.attached: set[str] = set()
        self.refuses = False


class Handler(BaseHTTPRequestHandler):
    server: Admin

    def answer(self) -> None:
        address = urlsplit(self.path)
        query = dict(parse_qsl(address.query))
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        command = address.path.rpartition("/v3/")[2]
        self.server.asked.append((command, query, body))
        status, content = 200, b""
        if self.server.refuses:
            status, content = 403, b'{"Code": "AccessDenied", "Message": "no"}'
        elif command == "idp/builtin/policy/attach":
            content = encrypt(b"{}", ADMIN)  # the only answer that is read
            who = str(len([one for one in self.server.asked if one[0] == "add-user"]) % 6)
            if who in self.server.attached:
                status, content = (
                    400,
                    b'{"Code": "XMinioAdminPolicyChangeAlreadyApplied", "Message": "it is"}',
                )
            self.server.attached.add(who)
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_PUT = do_POST = answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def admin() -> Iterator[Admin]:
    server = Admin()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def s3(admin: Admin) -> S3:
    return S3(
        endpoint=f"127.0.0.1:{admin.server_port}",
        secret_key=SecretStr(ADMIN),
        users={service: SecretStr(f"secret-of-{service}") for service in RIGHTS},
    )


def test_each_service_has_its_user_with_its_policy_and_doing_so_again_is_no_error(
    admin: Admin, s3: S3
) -> None:
    make_users(s3)
    make_users(s3)
    policies = {
        query["name"]: json.loads(body) for command, query, body in admin.asked if "canned" in command
    }
    assert policies == {f"reelsight-{name}": policy(rights, "reelsight") for name, rights in RIGHTS.items()}
    users = [query["accessKey"] for command, query, _ in admin.asked if command == "add-user"]
    assert users == [f"reelsight-{name}" for name in RIGHTS] * 2
    bodies = b"".join(body for _, _, body in admin.asked)
    assert not any(f"secret-of-{name}".encode() in bodies for name in RIGHTS), "secrets travel encrypted"


def test_a_server_that_refuses_is_named(admin: Admin, s3: S3) -> None:
    admin.refuses = True
    with pytest.raises(StorageUnavailable, match=r"does not make the user reelsight-ingest.*AccessDenied"):
        make_users(s3)

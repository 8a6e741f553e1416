"""Makes a MinIO server's users, one for each service with its policy; by ``deployment``, as the server's admin."""

from __future__ import annotations

import json

import structlog
from minio import MinioAdmin
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException

from reel_shared.bucket_rights import RIGHTS, policy, user
from reel_shared.errors import StorageUnavailable
from reel_shared.settings import S3

log = structlog.get_logger(__name__)
_ALREADY = "XMinioAdminPolicyChangeAlreadyApplied"


def make_users(s3: S3) -> None:
    """Make the users in ``s3.users``, or bring their secret keys and policies up to date.

    Raises:
        StorageUnavailable: the server refuses, or knows no such users (SeaweedFS has them in a file).
        KeyError: a user of no service.
    """
    admin = MinioAdmin(
        endpoint=s3.endpoint,
        credentials=StaticProvider(s3.access_key, s3.secret_key.get_secret_value()),
        region=s3.region,
        secure=s3.secure,
    )
    for service, secret in s3.users.items():
        name = user(service)
        try:
            admin.policy_add(name, policy=policy(RIGHTS[service], s3.bucket))
            admin.user_add(name, secret.get_secret_value())
            _attach(admin, name)
        except MinioAdminException as error:
            detail = f"Object storage at {s3.endpoint} does not make the user {name}: {error}"
            raise StorageUnavailable(detail) from error
    log.info("setup.storage_users_ready", users=[user(service) for service in s3.users])


def _attach(admin: MinioAdmin, name: str) -> None:
    try:
        admin.attach_policy([name], user=name)
    except MinioAdminException as error:
        if _code(error) != _ALREADY:
            raise


def _code(error: MinioAdminException) -> str:
    try:
        return str(json.loads(error._body or "{}").get("Code", ""))
    except ValueError:
        return ""

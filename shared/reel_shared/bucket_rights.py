"""What each service may do in the bucket: the one source of its policies, on every S3 that knows those of AWS's IAM.

``deployment`` makes the users of a MinIO by it, the embedded server its identities, and
``python -m reel_shared.bucket_rights`` prints those of a SeaweedFS (``compose/seaweedfs.json``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

ADMIN = "reelsight"
"""Makes the bucket and the users, and nothing else uses it."""

PICTURES = ("frames", "pictures", "variants")
PEOPLES = ("uploads", "drop")
"""What people send, and what they put there with an S3 client of their own."""
VERSIONS = ("manifests", "certificates")


class Rights(NamedTuple):
    """Prefixes of keys; what is written may be read too, for nothing is stored twice. Names can be listed by all."""

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    delete: tuple[str, ...] = ()


RIGHTS: dict[str, Rights] = {
    # a take-down takes the pictures, and the reports that show them; what was exported may be imported again
    "ingest": Rights(
        read=(*PEOPLES, *PICTURES, *VERSIONS, "exports"),
        write=("uploads", "frames", "pictures", "borders", "ranges", "proposals", "subjects"),
        delete=(*PICTURES, "models/*.html"),
    ),
    "augment": Rights(read=(*PICTURES, *VERSIONS), write=("variants",), delete=("variants",)),
    "trainer": Rights(
        read=(*PEOPLES, *PICTURES),
        write=(*VERSIONS, "models", "checkpoints", "exports", "reports", "learning-rates"),
        delete=("checkpoints", "models/*.html"),
    ),
    "inference": Rights(read=(*PEOPLES, *PICTURES, "models"), write=("uploads", "predictions", "parts")),
    "explainer": Rights(
        read=(*PEOPLES, *PICTURES, *VERSIONS, "models", "predictions"),
        write=("uploads", "explanations", "parts"),
    ),
    # Its pages show everything, its links lead to everything; the reaper deletes what visitors left.
    "web": Rights(
        read=(
            *PEOPLES, *PICTURES, *VERSIONS, "borders", "proposals", "models", "exports", "reports", "learning-rates",
            "predictions", "explanations",
        ),
        write=("uploads",),
        delete=("uploads/visitors", "explanations/visitors"),
    ),
}  # fmt: skip
_WRITING = ("s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")


def union(services: Iterable[str]) -> Rights:
    """Return the rights of a process that is several services at once: the API of `reel up`."""
    each = [RIGHTS[service] for service in services]
    return Rights(*(tuple(sorted({key for one in each for key in one[part]})) for part in range(3)))


def policy(rights: Rights, bucket: str) -> dict[str, Any]:
    """Return an IAM policy; ``bucket`` may have wildcards."""
    whole = [f"arn:aws:s3:::{bucket}"]
    # without the right to list, what is missing could not be told from what is forbidden
    statements = [_allow(["s3:ListBucket", "s3:GetBucketLocation"], whole)]
    for actions, prefixes in (
        (["s3:GetObject"], [*rights.read, *rights.write]),
        (list(_WRITING), rights.write),
        (["s3:DeleteObject"], rights.delete),
    ):
        if prefixes:
            keys = [prefix if "*" in prefix else f"{prefix}/*" for prefix in dict.fromkeys(prefixes)]
            statements.append(_allow(actions, [f"arn:aws:s3:::{bucket}/{key}" for key in keys]))
    return {"Version": "2012-10-17", "Statement": statements}


def _allow(actions: list[str], resources: list[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources}


def user(service: str) -> str:
    """Return the name of a service's user and policy, which is its access key too unless a deployment has others."""
    return f"{ADMIN}-{service}"


def identities(
    users: Mapping[str, tuple[Rights, str]], bucket: str, *, admin_key: str, admin_secret: str
) -> dict[str, Any]:
    """Return the file that a SeaweedFS server reads (``-s3.config``): service -> its rights and secret key."""
    admin = {"accessKey": admin_key, "secretKey": admin_secret}
    made: list[dict[str, Any]] = [{"name": ADMIN, "credentials": [admin], "actions": ["Admin"]}]
    policies = []
    for service, (rights, secret) in users.items():
        name = user(service)
        key = {"accessKey": name, "secretKey": secret}
        made.append({"name": name, "credentials": [key], "policyNames": [name]})
        policies.append({"name": name, "content": json.dumps(policy(rights, bucket))})
    return {"identities": made, "policies": policies}


def template() -> str:
    """Return SeaweedFS's file for a deployment, one line; ``@…@`` stands for bucket, keys and secrets."""
    users = {service: (rights, f"@SECRET_{service}@") for service, rights in RIGHTS.items()}
    return json.dumps(
        identities(users, "@BUCKET@", admin_key="@ADMIN_KEY@", admin_secret="@ADMIN_SECRET@")  # noqa: S106
    )


if __name__ == "__main__":
    print(template())  # noqa: T201

"""What a deployment runs before its processes start: it may run again, and a key it was given opens the API."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from reel_shared.db.engine import reading, transaction
from reel_shared.db.models import ApiKey
from reel_shared.deployment import prepare
from reel_shared.errors import StorageUnavailable, Unprocessable
from reel_shared.security import adopt_key, authenticate, recognise
from reel_shared.storage import storage
from reel_shared.testing.stack import Reel

TOKEN = "reel_0123456789ab_" + "s" * 43


@pytest.mark.servers
def test_schema_bucket_and_key_are_there_after_it_and_after_a_second_run(reel: Reel) -> None:
    reel.configure(s3__bucket="of-a-new-deployment", web__first_key=TOKEN)
    storage.cache_clear()
    prepare()
    prepare()
    storage().ready()
    assert recognise(TOKEN).scopes == {"read", "submit", "admin"}
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(ApiKey)) == 1


@pytest.mark.servers
def test_users_that_the_storage_has_from_its_own_file_are_left_to_it(reel: Reel) -> None:
    """SeaweedFS knows no command that makes one; the secrets of all services are mounted all the same."""
    reel.configure(s3__users='{"ingest": "a secret key"}')
    with pytest.raises(StorageUnavailable, match="does not make the user"):
        prepare()
    reel.configure(s3__make_users="false")
    prepare()


@pytest.mark.usefixtures("reel_database")
@pytest.mark.parametrize("token", ["secret", "reel_0123456789ab_short", TOKEN.upper()])
def test_what_is_no_key_is_not_adopted(token: str) -> None:
    with pytest.raises(Unprocessable), transaction() as session:
        adopt_key(session, token, "first key", ["admin"])


@pytest.mark.usefixtures("reel_database")
def test_a_known_key_is_not_taken_over_by_another_of_its_prefix() -> None:
    with transaction() as session:
        assert adopt_key(session, TOKEN, "first key", ["read"])
    with pytest.raises(Unprocessable), transaction() as session:
        adopt_key(session, TOKEN.replace("s", "t"), "first key", ["admin"])
    with reading() as session:
        assert authenticate(session, TOKEN).scopes == {"read"}

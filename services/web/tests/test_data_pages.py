"""The data set pages: what is counted, how pages follow one another, and what is told of one picture."""

from __future__ import annotations

import io
from itertools import chain

import pytest
import sqlalchemy as sa
from PIL import Image as Pillow

from reel_shared.contracts import ImageState
from reel_shared.db.engine import engine, reading, transaction
from reel_shared.db.models import Image, ImageChange
from reel_web import catalogue
from reel_web.catalogue import Wanted
from reel_web.pages.datasets import PAGE_PICTURES


def facet(data, name):
    found = next(one for one in data["facets"] if one["name"] == name)
    return {option["value"]: option["count"] for option in found["options"]}


def walk(client, address, way="next"):
    """Every page from an address on, as lists of ids."""
    pages = []
    while address:
        data = client.get(address, headers={"Accept": "application/json"}).json()
        pages.append([one["id"] for one in data["data"]])
        address = data[way]
    return pages, data


# --- narrowing --------------------------------------------------------------------------------------------


def test_each_facet_counts_what_the_others_leave(databases, browse, add):
    for label, state in (("kite", "active"), ("kite", "rejected"), ("moon", "active"), ("moon", "active")):
        add(label=label, state=state, state_reason="blurred" if state == "rejected" else "")
    add(label="moon", variant="noise", parent_id="img_000003")
    data = browse().get("/datasets/films.json?label=kite").json()
    assert data["total"] == 2
    assert facet(data, "label") == {"kite": 2, "moon": 2}
    assert facet(data, "state") == {"active": 1, "rejected": 1}
    assert facet(data, "reason") == {"blurred": 1}
    assert facet(data, "kind") == {"original": 2, "any": None}
    assert data["filter"] == {"dataset": "films", "label": "kite"}
    assert data["labels"] == ["kite", "moon"]


def test_addresses_of_facets_take_and_leave_a_value(browse, add):
    add(label="kite"), add(label="moon", state="rejected")
    client = browse()
    data = client.get("/datasets/films.json?state=rejected").json()
    label = next(one for one in data["facets"] if one["name"] == "label")["options"]
    assert [one["address"] for one in label] == ["/datasets/films?label=moon&state=rejected"]
    [pill] = data["chosen"]
    assert (pill["name"], pill["address"]) == ("Rejected", "/datasets/films")
    page = client.get(label[0]["address"])
    assert page.status_code == 200
    assert 'aria-current="true"' in page.text


def test_what_was_taken_down_is_shown_only_when_asked_for(browse, add):
    add(), add(state="removed", state_reason="taken-down")
    client = browse()
    assert client.get("/datasets/films.json").json()["total"] == 1
    shown = client.get("/datasets/films.json?state=removed").json()
    assert [(one["id"], one["shown"]) for one in shown["data"]] == [("img_000002", False)]
    assert "/pictures/img_000002/thumbnail" not in client.get("/datasets/films?state=removed").text


def test_an_action_on_all_that_fit_is_offered_where_the_api_can_say_it(browse, add):
    add(movie="mov_1", state_reason="x", scene=1)
    client = browse()
    told = client.get("/datasets/films.json?film=mov_1&reason=x&source=movie").json()["filter"]
    assert told == {"dataset": "films", "movie_id": "mov_1", "state_reason": "x", "source": "movie"}
    for beyond in ("kind=any", "split=none", "state=removed"):
        assert client.get(f"/datasets/films.json?{beyond}").json()["filter"] is None


def test_sides_come_from_the_newest_version(reel, browse, add, build):
    train, valid, late = add(), add(), add()
    grey = add(variant="grayscale", parent_id=train)
    build({train: "train", valid: "valid", grey: "train"})
    client = browse()
    data = client.get("/datasets/films.json").json()
    assert {one["id"]: one["side"] for one in data["data"]} == {train: "train", valid: "valid", late: None}
    assert facet(data, "split") == {"train": 1, "valid": 1, "none": None}
    for split, found in (("train", [train]), ("valid", [valid]), ("none", [late]), ("probe", [])):
        narrowed = client.get(f"/datasets/films.json?split={split}").json()
        assert [one["id"] for one in narrowed["data"]] == found
        assert narrowed["total"] is None
    both = client.get("/datasets/films.json?split=train&kind=any").json()["data"]
    assert {one["id"] for one in both} == {train, grey}


def test_without_a_version_or_its_manifest_pictures_are_shown_all_the_same(browse, add):
    add()
    data = browse().get("/datasets/films.json").json()
    assert "No version has been built" in data["split_note"]
    assert browse().get("/datasets/films.json?split=none").json()["data"] != []
    assert browse().get("/datasets/films.json?split=train").json()["data"] == []


# --- pages ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_pages_follow_one_another_both_ways_without_gap_or_repetition(databases, browse, add, order):
    ids = [add() for _ in range(2 * PAGE_PICTURES + 7)]
    client = browse()
    there, last = walk(client, f"/datasets/films?order={order}")
    assert [len(part) for part in there] == [PAGE_PICTURES, PAGE_PICTURES, 7]
    assert list(chain(*there)) == (ids[::-1] if order == "newest" else ids)
    back, _ = walk(client, last["previous"], "previous")
    assert back == there[1::-1]


def test_a_side_of_the_split_is_paged_too(reel, browse, add, build):
    ids = [add() for _ in range(2 * PAGE_PICTURES + 10)]
    build({name: "valid" if at % 2 else "train" for at, name in enumerate(ids)})
    pages, _ = walk(browse(), "/datasets/films?split=valid")
    assert list(chain(*pages)) == ids[::-1][::2]
    assert [len(part) for part in pages] == [PAGE_PICTURES, 5]


def test_counts_and_pages_read_no_row_of_a_picture(reel_database, add):
    """With 100,000 pictures reading rows takes seconds; the indexes hold all that is asked."""
    add(), add(movie="mov_1")
    asked = []
    sa.event.listen(
        engine(), "before_cursor_execute", lambda _c, _k, sql, values, *_: asked.append((sql, values))
    )
    with reading() as session:
        for chosen in ({}, {"kind": "original"}, {"label": "kite", "state": "active"}):
            catalogue.facets(session, Wanted("films", chosen))
            catalogue.page_of_ids(session, Wanted("films", chosen), rows=60, after="img_9")
        catalogue.datasets(session)
        catalogue.labels(session, "films")
        plans = [
            " ".join(
                row[-1] for row in session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)
            )
            for sql, values in asked
            if sql.startswith("SELECT")  # not BEGIN, nor what the connection is told
        ]
    assert len(plans) == 9
    for plan in plans:
        assert "COVERING INDEX ix_" in plan
        assert "TEMP B-TREE" not in plan


# --- one picture ------------------------------------------------------------------------------------------


def test_a_frame_tells_its_film_its_neighbours_and_what_was_decided(browse, add):
    frames = [add(movie="mov_1", at=at, scene=int(at) // 4) for at in (2.0, 4.0, 6.0, 125.0)]
    add(movie="mov_2", at=4.5, label="moon")
    with transaction() as session:
        session.add(
            ImageChange(
                batch_id="chg_1", image_id=frames[1], field="state", before="rejected", after="active"
            )
        )
    data = browse().get(f"/pictures/{frames[1]}.json").json()
    assert (data["origin"]["film"], data["origin"]["time"], data["origin"]["scene"]) == (
        "The kite",
        "0:04",
        1,
    )
    assert [one["id"] for one in data["neighbours"]] == [frames[0], frames[2], frames[3]]
    assert data["neighbours"][-1]["about"] == "The kite, 2:05"
    assert [(row["before"], row["after"]) for row in data["history"]] == [("rejected", "active")]
    page = browse().get(f"/pictures/{frames[1]}").text
    assert "Around it in the film" in page
    assert "Rejected → Active" in page


def test_a_web_picture_tells_who_made_it_and_nothing_that_it_says_becomes_code(browse, add):
    name = add(
        title="<b>Kites</b>", creator="Inge Maar", licence="CC BY 4.0", licence_url="https://cc.example/by",
        page_url="javascript:alert(1)", url="https://pictures.example/1.jpg", provider="openverse",
    )  # fmt: skip
    page = browse().get(f"/pictures/{name}").text
    assert "&lt;b&gt;Kites" in page
    assert "<b>Kites" not in page
    assert 'href="https://cc.example/by"' in page
    assert "javascript:" not in page
    assert browse().get(f"/pictures/{name}.json").json()["origin"]["creator"] == "Inge Maar"


def test_what_looks_alike_comes_closest_first_and_what_was_called_a_copy_before(browse, add):
    centre = add(phash="00000000000000ff")
    near, nearer = add(phash="0000000000000fff"), add(phash="00000000000000fe")
    add(phash="ffffffffffffffff")
    told = add(phash="f0f0f0f0f0f0f0f0", state="duplicate", duplicate_of=centre)
    child = add(phash="00000000000000ff", variant="log", parent_id=centre)
    data = browse().get(f"/pictures/{centre}.json").json()
    assert [one["id"] for one in data["alike"]] == [told, nearer, near]
    assert [one["bits"] for one in data["alike"]][1:] == [1, 4]
    assert [one["id"] for one in data["variants"]] == [child]
    assert browse().get(f"/pictures/{told}.json").json()["alike"][0]["id"] == centre
    assert browse().get(f"/pictures/{child}.json").json()["picture"]["parent_id"] == centre


def test_a_thumbnail_is_small_and_stays_in_the_browser(reel, browse, add):
    name = add(picture=1)
    answer = browse().get(f"/pictures/{name}/thumbnail")
    picture = Pillow.open(io.BytesIO(answer.content))
    assert (picture.format, picture.size) == ("JPEG", (240, 150))
    assert answer.headers["Cache-Control"].startswith("private, max-age=")
    assert browse().get(f"/pictures/{name}/thumbnail?side=5000").status_code == 422
    with transaction() as session:
        session.get_one(Image, name).state = ImageState.REMOVED
    assert browse().get(f"/pictures/{name}/thumbnail").status_code == 404
    assert "taken down" in browse().get(f"/pictures/{name}").text


# --- who may -----------------------------------------------------------------------------------------------


def test_pictures_are_for_keys_that_read_and_changes_for_those_that_submit(browse, add):
    name = add()
    pages = ("/datasets", "/datasets/films", f"/pictures/{name}")
    for path in pages:
        assert browse("submit").get(path).status_code == 403
        assert browse("read").get(path).status_code == 200
        assert browse().get(f"{path}.json").status_code == 200
    reader, editor = browse("read"), browse("read", "submit")
    for path in pages[1:]:
        assert 'id="relabel"' not in reader.get(path).text
        assert 'id="relabel"' in editor.get(path).text
    assert 'type="checkbox"' not in reader.get("/datasets/films").text
    anonymous = browse()
    anonymous.cookies.clear()
    for path in (*pages, f"/pictures/{name}/thumbnail"):
        assert anonymous.get(path).headers["Location"].startswith("/sign-in?next=")


def test_what_is_not_there_says_so(browse, add):
    client = browse()
    assert "No pictures yet" in client.get("/datasets").text
    assert client.get("/datasets/none").status_code == 404
    assert client.get("/pictures/img_none.json").status_code == 404
    add(label="kite")
    assert "No picture is like that" in client.get("/datasets/films?label=moon").text
    assert client.get("/datasets/films?split=nowhere").status_code == 422
    assert client.get("/datasets.json").json()["data"] == [
        {"name": "films", "pictures": 1, "states": {"active": 1}, "versions": 0}
    ]

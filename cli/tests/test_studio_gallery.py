"""The studio's drawings and its web server: planted copies, broken files, and the Openverse answers."""

from __future__ import annotations

import hashlib
import io
import json
import urllib.error
import urllib.request
from datetime import date
from urllib.parse import quote, urlencode

import imagehash
import pytest
from PIL import Image

from reelsight.studio import gallery, oddities, server
from reelsight.studio.catalogue import FILMS, LABELS
from reelsight.studio.commons import between

PER_STYLE, COSTUMES = gallery.LEAST_PER_STYLE, gallery.COSTUMES


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    with server.serve(tmp_path_factory.mktemp("gallery"), seed=5, per_style=PER_STYLE) as running:
        yield running


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read(), answer.headers


def ask(studio, path):
    return json.loads(get(studio.url + path)[0])


def of_fate(studio, fate):
    return [offer for offer in studio.offers if offer.fate == fate]


def data_of(studio, offer):
    return get(f"{studio.url}/media/{offer.file}")[0]


def phash(data):
    return imagehash.phash(oddities.seen(data))


def by_id(studio):
    return {offer.id: offer for offer in studio.offers}


def test_expected_counts_add_up(studio):
    for label in LABELS:
        counts = studio.expected(label=label)
        # Two drawings of its own and two of the film before it stand under two films.
        assert (counts.seen, counts.kept) == (
            3 * (PER_STYLE + 5) + 2 + COSTUMES,
            3 * PER_STYLE - 2 + COSTUMES,
        )
        assert (counts.exact_duplicates, counts.near_duplicates, counts.conflicts) == (3, 8, 4)
        assert counts.rejected == {"blurred": 1}
        assert counts.refused == {"too-many-pixels": 1, "truncated": 1, "not-a-picture": 1}
    assert studio.expected().seen == len(studio.offers)
    assert studio.expected(label=LABELS[0], style="sketch").refused == {"truncated": 1}


def test_what_was_taken_down_is_expected_to_be_refused(studio):
    offer = next(o for o in of_fate(studio, "kept") if o.style == "cosplay")
    gone = studio.of_bytes({hashlib.sha256(data_of(studio, offer)).hexdigest()})
    assert gone == {offer.id}
    counts = studio.expected(gone=gone)
    assert counts.refused["taken-down"] == 1
    assert (counts.seen, counts.kept) == (studio.expected().seen, studio.expected().kept - 1)


def test_every_copy_names_what_it_repeats(studio):
    for offer in studio.offers:
        copied = offer.fate == "conflict" or offer.fate.endswith("duplicate")
        assert copied == bool(offer.of)
        if copied:
            original = by_id(studio)[offer.of]
            assert original.fate == "kept"
            assert original.truth == offer.truth
            assert (original.label == offer.label) == (offer.fate != "conflict")


def test_a_conflict_is_one_picture_under_two_films(studio):
    conflicts = of_fate(studio, "conflict")
    assert len(conflicts) == 2 * len(LABELS)
    same = [data_of(studio, o) == data_of(studio, by_id(studio)[o.of]) for o in conflicts]
    assert sum(same) == len(LABELS)
    for offer in conflicts:
        assert phash(data_of(studio, offer)) - phash(data_of(studio, by_id(studio)[offer.of])) <= 6


def test_one_drawing_a_film_shows_another_film(studio):
    wrong = [offer for offer in of_fate(studio, "kept") if offer.truth != offer.label]
    assert sorted(offer.label for offer in wrong) == sorted(LABELS)


def test_exact_duplicates_have_the_bytes_of_an_original(studio):
    kept = {data_of(studio, offer) for offer in of_fate(studio, "kept")}
    assert len(kept) == len(of_fate(studio, "kept"))
    assert all(data_of(studio, offer) in kept for offer in of_fate(studio, "exact-duplicate"))


def plain_copies(studio):
    return [o for o in of_fate(studio, "near-duplicate") if o.style == "sketch"]


def test_near_duplicates_are_near_and_originals_are_not(studio):
    for label in LABELS:
        kept = [phash(data_of(studio, o)) for o in of_fate(studio, "kept") if o.label == label]
        assert min(a - b for i, a in enumerate(kept) for b in kept[:i]) > 6
    for offer in plain_copies(studio):
        assert phash(data_of(studio, offer)) - phash(data_of(studio, by_id(studio)[offer.of])) <= 6


def test_some_copies_are_negatives_and_some_have_bars(studio):
    """A plain perceptual hash does not find these; they need a second look."""
    odd = [o for o in of_fate(studio, "near-duplicate") if o not in plain_copies(studio)]
    far = [phash(data_of(studio, o)) - phash(data_of(studio, by_id(studio)[o.of])) > 6 for o in odd]
    assert sum(far) >= 2 * len(LABELS) - 2  # a film's bars may leave the coarse shape alone


def test_kept_pictures_open_and_tell_their_size(studio):
    modes = set()
    for offer in of_fate(studio, "kept"):
        with Image.open(io.BytesIO(data_of(studio, offer))) as image:
            image.load()
            assert image.size == (offer.width, offer.height)
            modes.add((image.format, image.mode, getattr(image, "n_frames", 1) > 1))
    assert {("GIF", "P", True), ("WEBP", "RGB", False), ("PNG", "L", False)} <= modes
    assert {("PNG", "RGBA", False), ("JPEG", "CMYK", False), ("JPEG", "RGB", False)} <= modes


def test_broken_files_are_really_broken(studio):
    for offer in of_fate(studio, "truncated"):
        with (
            Image.open(io.BytesIO(data_of(studio, offer))) as image,
            pytest.raises(OSError, match="truncated"),
        ):
            image.load()
    for offer in of_fate(studio, "not-a-picture"):
        assert offer.file.endswith(".jpg")
        with pytest.raises(OSError, match="cannot identify"):
            Image.open(io.BytesIO(data_of(studio, offer)))


def test_the_huge_picture_is_small_on_disk_and_vast_in_pixels():
    data = oddities.huge_png()
    assert len(data) < 40_000
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(io.BytesIO(data)) as image:
            assert image.size == (12_000, 12_000)
            image.load()
    finally:
        Image.MAX_IMAGE_PIXELS = limit


@pytest.mark.parametrize(
    ("style", "word"),
    [("fanart", "fanart"), ("sketch", "sketches"), ("drawing", "drawing"), ("cosplay", "cosplay")],
)
@pytest.mark.parametrize("film", FILMS, ids=lambda film: film.label)
def test_title_and_style_words_find_exactly_that_style_of_that_film(studio, film, style, word):
    answer = ask(studio, f"/v1/images/?q={quote(f'{film.title.lower()} {word}')}")
    found = {result["id"] for result in answer["results"]}
    assert found == {o.id for o in studio.offers if (o.label, o.style) == (film.label, style)}


@pytest.mark.parametrize(
    "words", ["harbor lights fan art", "Harbor Lights fanarts", "harbor light FANART", "harbor-lights fanart"]
)
def test_words_are_found_in_other_forms(studio, words):
    assert ask(studio, f"/v1/images/?q={quote(words)}")["result_count"] == PER_STYLE + 6


def test_pages_cover_every_result_once(studio):
    first = ask(studio, "/v1/images/?q=kite+island&page_size=10")
    assert (first["page_size"], first["page"]) == (10, 1)
    assert first["page_count"] == -(-first["result_count"] // 10)
    ids = [
        result["id"]
        for page in range(1, first["page_count"] + 1)
        for result in ask(studio, f"/v1/images/?q=kite+island&page_size=10&page={page}")["results"]
    ]
    assert len(ids) == len(set(ids)) == first["result_count"] == 3 * (PER_STYLE + 5) + 2 + COSTUMES
    assert ask(studio, "/v1/images/?q=no+such+film")["results"] == []


def test_a_result_has_the_fields_of_openverse_and_its_addresses_answer(studio):
    result = ask(studio, "/v1/images/?q=paper+moon")["results"][0]
    assert set(result) >= {
        "id", "title", "foreign_landing_url", "url", "creator", "creator_url", "license", "license_version",
        "license_url", "provider", "source", "filetype", "filesize", "height", "width", "attribution", "tags",
        "detail_url", "thumbnail", "related_url", "mature", "category", "fields_matched", "indexed_on",
    }  # fmt: skip
    assert result["license_url"].startswith("https://creativecommons.org/")
    assert result["creator"] in result["attribution"]
    assert json.loads(get(result["detail_url"])[0]) == result
    assert len(get(result["url"])[0]) == result["filesize"]
    assert result["title"].encode() in get(result["foreign_landing_url"])[0]


def test_robots_allow_the_pictures(studio):
    body, headers = get(studio.url + "/robots.txt")
    assert b"Disallow" not in body
    assert headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/images/?page_size=21", 400),
        ("/v1/images/?page=0", 400),
        ("/v1/images/?page=x", 400),
        ("/v1/images/?page=13&page_size=20", 400),
        ("/v1/images/no-such-id/", 404),
        ("/media/../gallery.json", 404),
        ("/media/gallery.json", 404),
        ("/media/%2e%2e/%2e%2e/etc/passwd", 404),
        ("/admin", 404),
    ],
)
def test_wrong_requests_are_refused_in_json(studio, path, status):
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(studio.url + path)
    assert refused.value.code == status
    assert "detail" in json.loads(refused.value.read())


def test_the_server_listens_on_this_machine_alone(studio):
    assert studio.host.startswith("127.0.0.1:")
    assert studio.url == f"http://{studio.host}"


def test_the_same_seed_draws_the_same_files_and_keeps_them(tmp_path):
    first = gallery.draw_film("moss-and-ember", tmp_path / "a", 9, 4)
    again = gallery.draw_film("moss-and-ember", tmp_path / "b", 9, 4)
    assert first == again
    assert all(
        (tmp_path / "a" / o.file).read_bytes() == (tmp_path / "b" / o.file).read_bytes() for o in first
    )
    assert gallery.draw_film("moss-and-ember", tmp_path / "c", 10, 4) != first


def found_by_day(studio, phrase, *days, size=50):
    """Ids in the order of the answer, over all its pages."""
    ids, onward = [], {"gsroffset": 0}
    while onward:
        terms = f"{phrase} filetype:bitmap|drawing {' '.join(days)}"
        query = urlencode({"gsrsearch": terms, "gsrlimit": size, **onward})
        answer = ask(studio, f"/w/api.php?{query}")
        pages = sorted(answer["query"]["pages"], key=lambda page: page["index"])
        ids += [page["imageinfo"][0]["descriptionurl"].rpartition("/")[2] for page in pages]
        onward = answer.get("continue")
    return ids


def test_days_cut_a_search_into_parts_that_cover_it_and_do_not_overlap(studio):
    whole = found_by_day(studio, "Kite Island drawing")
    early = found_by_day(studio, "Kite Island drawing", "creationdate:<2022-01-01", size=3)
    late = found_by_day(studio, "Kite Island drawing", "creationdate:>=2022-01-01", size=3)
    assert sorted(early + late) == sorted(whole)
    assert len(whole) == len(set(whole)) == PER_STYLE + 6
    assert min(len(early), len(late)) > 0
    assert all(by_id(studio)[name].day < date(2022, 1, 1) for name in early)
    offers = [offer for offer in studio.offers if offer.id in whole]
    assert sorted(o.id for o in between(offers, date(2022, 1, 1), None)) == sorted(late)


def test_commons_tells_licence_author_page_and_day(studio):
    query = urlencode({"gsrsearch": "Paper Moon cosplay", "gsrlimit": 1})
    info = ask(studio, f"/w/api.php?{query}")["query"]["pages"][0]["imageinfo"][0]
    offer = by_id(studio)[info["descriptionurl"].rpartition("/")[2]]
    assert info["timestamp"].startswith(offer.made_on)
    assert info["extmetadata"]["Artist"]["value"] == offer.creator
    assert info["extmetadata"]["LicenseUrl"]["value"].startswith("https://creativecommons.org/")
    assert len(get(info["url"])[0]) == info["size"]


@pytest.mark.parametrize("query", ["", "gsrsearch=a&gsrlimit=51", "gsrsearch=a+creationdate:<x&gsrlimit=5"])
def test_commons_refuses_what_it_does_not_understand(studio, query):
    assert ask(studio, f"/w/api.php?{query}")["error"]["code"] == "badvalue"

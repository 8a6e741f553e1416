"""What an archive's folders and tables say of its pictures, read without a queue or a database."""

from __future__ import annotations

import json
import secrets
import zipfile
from datetime import UTC, datetime

import pytest

from reel_ingest.imports import plan
from reel_ingest.imports.plan import plan_import
from reel_ingest.web_sources.archive import Archive
from reel_shared.contracts import Source
from reel_shared.errors import BadRequest, Unprocessable


@pytest.fixture
def read(tmp_path):
    """Read an archive of these files; pictures' contents do not matter here."""

    def make(*pictures, **tables):
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
            for name in pictures:
                file.writestr(name, name)
            for name, text in tables.items():
                content = text if isinstance(text, bytes) else text.encode()
                file.writestr(
                    name.replace("__", "/").replace("_csv", ".csv").replace("_jsonl", ".jsonl"), content
                )
        archive = Archive(tmp_path / "a.zip", picture_bytes=1000)
        try:
            return plan_import(archive)
        finally:
            archive.close()

    return make


def places(plan):
    return {one.member: (one.label, one.side or one.probe) for one in plan.entries}


@pytest.mark.parametrize("root", ["", "pets/", "download/pets/"])
def test_folders_of_classes(read, root):
    plan = read(f"{root}Kiki/1.jpg", f"{root}Kiki/more/2.PNG", f"{root}Moon River/3.webp", "README.txt")
    assert places(plan) == {
        f"{root}Kiki/1.jpg": ("kiki", ""),
        f"{root}Kiki/more/2.PNG": ("kiki", ""),
        f"{root}Moon River/3.webp": ("moon-river", ""),
    }
    assert plan.renamed == {"kiki": "Kiki", "moon-river": "Moon River"}
    assert plan.notes == ["1 other files were not looked at."]


@pytest.mark.parametrize("valid", ["valid", "val", "validation", "VAL"])
def test_folders_of_sides(read, valid):
    names = ["train/a/1.jpg", "train/b/2.jpg", f"{valid}/a/3.jpg", "test/b/4.jpg", "probe-cosplay/a/5.jpg"]
    plan = read(*(f"set/{name}" for name in names))
    assert {member.removeprefix("set/"): place for member, place in places(plan).items()} == {
        "train/a/1.jpg": ("a", "train"),
        "train/b/2.jpg": ("b", "train"),
        f"{valid}/a/3.jpg": ("a", "valid"),
        "test/b/4.jpg": ("b", "test"),
        "probe-cosplay/a/5.jpg": ("a", "cosplay"),
    }
    assert {one.probe for one in plan.entries} == {"", "test", "cosplay"}
    assert plan.notes == ["The 1 pictures of the test side make up the probe set test."]


def test_test_alone_is_validation_and_one_side_alone_is_none(read):
    assert set(places(read("train/a/1.jpg", "test/a/2.jpg")).values()) == {("a", "train"), ("a", "valid")}
    alone = read("train/a/1.jpg", "train/b/2.jpg")
    assert set(places(alone).values()) == {("a", ""), ("b", "")}
    assert "splits them anew" in alone.notes[0]


def test_a_class_above_its_sides(read):
    assert set(places(read("a/train/1.jpg", "a/val/2.jpg", "b/train/3.jpg")).values()) == {
        ("a", "train"),
        ("a", "valid"),
        ("b", "train"),
    }


def test_pictures_without_a_class_and_other_files(read):
    plan = read("1.jpg", "a/2.jpg", "a/notes.txt", "../b/3.jpg", "train/4.jpg")
    assert places(plan) == {"a/2.jpg": ("a", "")}
    assert plan.refused == [("../b/3.jpg", "unsafe-path"), ("1.jpg", "no-class"), ("train/4.jpg", "no-class")]


def test_a_hugging_face_folder(read):
    csv = "file_name,label,licence,author,page_url,date\n1.jpg,a,CC0 1.0,Ada,https://x.org/1,2020-05-06\n"
    lines = [json.dumps({"file_name": f"b/{n}.jpg", "label": n, "objects": {"bbox": [1]}}) for n in (2, 3)]
    plan = read("train/1.jpg", "valid/b/2.jpg", "valid/b/3.jpg",
                train__metadata_csv=csv, valid__metadata_jsonl="\n".join(lines))  # fmt: skip
    assert places(plan) == {
        "train/1.jpg": ("a", "train"),
        "valid/b/2.jpg": ("2", "valid"),
        "valid/b/3.jpg": ("3", "valid"),
    }
    facts = plan.entries[0].facts
    assert (facts.licence, facts.creator, facts.page_url) == ("CC0 1.0", "Ada", "https://x.org/1")
    assert (facts.taken_at, facts.style) == (datetime(2020, 5, 6, tzinfo=UTC), None)


def test_a_table_without_labels_leaves_the_class_to_the_folder(read):
    plan = read("kiki/1.jpg", "b/2.jpg", metadata_csv="file_name,licence,style\nkiki/1.jpg,CC0,sketch\n")
    assert places(plan) == {"b/2.jpg": ("b", ""), "kiki/1.jpg": ("kiki", "")}
    assert [(one.facts.licence, one.facts.style) for one in plan.entries] == [("", None), ("CC0", "sketch")]


def test_frames_come_before_web_pictures_and_keep_scene_and_time(read):
    table = (
        "path,class,split,source,movie_id,scene,time_seconds,frame_index,title\n"
        "x/9.jpg,a,train,movie,mov_1,mov_1:3,7.5,180,The film\n"
        "x/1.jpg,a,valid,web,,,,,A drawing\n"
        "x/2.jpg,a,train,,my film,4,8,192,\n"
    )
    plan = read("x/1.jpg", "x/2.jpg", "x/9.jpg", table_csv=table)
    found = [(one.member, one.facts.source, one.facts.film, one.facts.scene) for one in plan.entries]
    assert found == [
        ("x/2.jpg", Source.MOVIE, "my film", 4),
        ("x/9.jpg", Source.MOVIE, "mov_1", 3),
        ("x/1.jpg", Source.WEB, "", None),
    ]


def test_an_own_export_leaves_its_variants_out(read):
    head = "file_name,split,is_valid,id,label,source,variant,parent_id,sha256,phash,group,title\n"
    rows = [
        f"train/a/1.jpg,train,False,img_1,a,web,original,,{'0' * 64},{'f' * 16},,'=1+1",
        f"train/a/2.jpg,train,False,img_2,a,web,invert,img_1,{'1' * 64},{'f' * 16},,",
        f"valid/a/3.jpg,valid,True,img_3,a,web,original,,{'2' * 64},{'e' * 16},,",
    ]
    plan = read(*(f"train/a/{n}.jpg" for n in (1, 2)), "valid/a/3.jpg", images_csv=head + "\n".join(rows))
    assert plan.own_export
    assert (plan.variants_left_out, plan.notes) == (1, [])
    assert [one.facts.title for one in plan.entries] == ["=1+1", ""]
    assert [one.facts.phash for one in plan.entries] == [2**64 - 1, int("e" * 16, 16)]


def test_an_own_exports_probes_are_read_from_their_own_table(read):
    head = "file_name,split,is_valid,id,label,source,variant,parent_id,sha256,phash,group,title\n"
    row = f"a/2.jpg,img_2,a,web,original,,{'1' * 64},{'e' * 16},,A hat\n"
    plan = read("train/a/1.jpg", "valid/a/3.jpg", "probe-cosplay/a/2.jpg",
                images_csv=f"{head}train/a/1.jpg,train,False,img_1,a,web,original,,{'0' * 64},{'f' * 16},,\n",
                **{"probe-cosplay__metadata_csv": head.replace("split,is_valid,", "") + row})  # fmt: skip
    assert plan.own_export
    probe = next(one for one in plan.entries if one.probe)
    assert (probe.member, probe.label, probe.probe) == ("probe-cosplay/a/2.jpg", "a", "cosplay")
    assert (probe.facts.title, probe.facts.sha256) == ("A hat", "1" * 64)


def test_rows_that_point_elsewhere_are_refused_one_by_one(read):
    table = "file_name,label\na/1.jpg,a\n../../etc/passwd,a\n/etc/passwd,a\nC:\\x.jpg,a\na/gone.jpg,a\n"
    plan = read("a/1.jpg", table_csv=table)
    assert places(plan) == {"a/1.jpg": ("a", "")}
    assert plan.refused == [
        ("../../etc/passwd", "unsafe-path"),
        ("/etc/passwd", "unsafe-path"),
        ("C:\\x.jpg", "unsafe-path"),
        ("a/gone.jpg", "missing"),
    ]


def test_links_that_are_no_web_addresses_are_dropped_and_text_is_cleaned(read):
    line = json.dumps(
        {
            "file_name": "a/1.jpg",
            "page_url": "javascript:alert(1)",
            "url": "http://[",
            "title": "a\0b\ud800\nc",
        }
    )
    facts = read("a/1.jpg", metadata_jsonl=line).entries[0].facts
    assert (facts.page_url, facts.url, facts.title) == ("", "", "a b? c")


HEAD = "file_name,label,split,scene,time_seconds,sha256,date,variant,is_valid\n"


@pytest.mark.parametrize(
    ("table", "line", "why"),
    [
        ("label\na\n", 2, "it names no picture; a table needs a column file_name"),
        ("file_name,label\na/1.jpg\n", 2, "it has 1 cells, and the first line has 2"),
        ("file_name,label\n,a\n", 2, "it names no file"),
        ("file_name,label,label\na/1.jpg,a,a\n", 1, "the column 'label' stands twice"),
        ('file_name,label\n"a/1.jpg,a\n', 2, "unexpected end of data"),
        (b"file_name,label\na/1.jpg,\xff\n", 2, "it is not UTF-8 text; save the table as UTF-8"),
        (HEAD + "a/1.jpg,a,holdout,,,,,,\n", 2, "the split 'holdout' is none of train, valid, test and probe-<name>"),
        (HEAD + "a/1.jpg,a,,intro,,,,,\n", 2, "scene is 'intro', not a whole number that fits"),
        (HEAD + "a/1.jpg,a,,99999999999,,,,,\n", 2, "scene is '99999999999', not a whole number that fits"),
        (HEAD + "a/1.jpg,a,,,nan,,,,\n", 2, "time_seconds is 'nan', not a time from the film's start"),
        (HEAD + "a/1.jpg,a,,,,abc,,,\n", 2, "sha256 is 'abc', not 64 hexadecimal digits"),
        (HEAD + "a/1.jpg,a,,,,,May,,\n", 2, "date is 'May', not a date such as 2020-01-31"),
        (HEAD + "a/1.jpg,a,,,,,,,maybe\n", 2, "is_valid is 'maybe', neither true nor false"),
        ("file_name,label\na/1.jpg," + secrets.token_hex(550_000) + "\n", 2, "it is longer than 1048576 bytes"),
    ],
)  # fmt: skip
def test_a_bad_table_is_refused_with_its_line(read, table, line, why):
    with pytest.raises(BadRequest) as caught:
        read("a/1.jpg", metadata_csv=table)
    assert caught.value.detail == f"The table 'metadata.csv' cannot be read, line {line}: {why}."


@pytest.mark.parametrize("text", ["{", "[1]", '"a"', "[" * 100_000])
def test_a_bad_json_line_is_refused_with_its_number(read, text):
    good = '{"file_name": "a/1.jpg"}\n\n'
    with pytest.raises(BadRequest, match=r"'metadata\.jsonl' cannot be read, line 3: it is not "):
        read("a/1.jpg", metadata_jsonl=good + text)


def test_tables_that_contradict_each_other_are_both_named(read):
    with pytest.raises(BadRequest) as caught:
        read(
            "x/1.jpg",
            images_csv="file_name,label\nx/1.jpg,kiki\n",
            x__metadata_csv="file_name,label\n1.jpg,b\n",
        )
    assert caught.value.detail == (
        "The table 'x/metadata.csv' cannot be read, line 2: it calls the class of 'x/1.jpg' 'b', "
        "and 'images.csv', line 2 calls it 'kiki'."
    )


def test_another_csv_is_only_noted(read):
    plan = read("a/1.jpg", sizes_csv="id,size\n1,2\n")
    assert plan.notes == ["sizes.csv is no table of pictures, for it has no column file_name."]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["readme.txt"], "holds no pictures"),
        (["Kiki/1.jpg", "kiki/2.jpg"], "The classes 'Kiki' and 'kiki' would both be called 'kiki'"),
        (["もののけ/1.jpg"], "no letter from a to z"),
    ],
)
def test_an_archive_that_cannot_be_imported(read, names, why):
    with pytest.raises(Unprocessable, match=why):
        read(*names)


def test_text_that_no_database_takes_is_made_plain(read):
    rows = [
        {"file_name": "gone\ud800\u0000.jpg"},
        {"file_name": "1.jpg", "label": "Ki\udc00ki\u0000"},
    ]
    plan = read("1.jpg", metadata_jsonl="\n".join(map(json.dumps, rows)))
    assert plan.refused == [("gone? .jpg", "missing")]
    assert plan.renamed == {"ki-ki": "Ki?ki"}


def test_a_table_of_nothing_but_missing_files_ends(read, monkeypatch):
    monkeypatch.setattr(plan, "MAX_REFUSED", 3)
    table = "file_name\n" + "\n".join(f"gone-{number}.jpg" for number in range(3))
    assert len(read("a/1.jpg", images_csv=table).refused) == 3
    with pytest.raises(BadRequest, match="line 5: with it more than 3 rows"):
        read("a/1.jpg", images_csv=table + "\ngone.jpg")


def test_tables_are_bounded_together(read, monkeypatch):
    table = "file_name,label\n" + "1.jpg,kiki\n" * 10
    monkeypatch.setattr(plan, "TABLE_BYTES", 2 * len(table))
    assert read("1.jpg", a_csv=table, b_csv=table).entries[0].label == "kiki"
    with pytest.raises(BadRequest, match="together"):
        read("1.jpg", a_csv=table, b_csv=table, c_csv=table)


def test_a_table_that_is_a_bomb_is_refused(read):
    with pytest.raises(BadRequest, match="unpacks to more than 200 times its size"):
        read("a/1.jpg", metadata_csv="file_name,label\n" + "a/1.jpg,a\n" * 500_000)


@pytest.mark.parametrize("name", ["a/1.jpg\u200b", " a/1.jpg\u0007"])
def test_a_row_that_only_looks_like_a_picture_does_not_refuse_it(read, name):
    plan = read("a/1.jpg", images_csv=f"file_name,label\n{name},kiki\na/2.jpg,\n")
    assert (places(plan), plan.refused) == ({"a/1.jpg": ("a", "")}, [("a/2.jpg", "missing")])


def test_more_classes_than_anyone_has_are_refused(read, monkeypatch):
    names = [f"C{number}/1.jpg" for number in range(4)]
    monkeypatch.setattr(plan, "MAX_CLASSES", 4)
    assert len(read(*names, "C1/2.jpg").renamed) == 4
    with pytest.raises(Unprocessable, match="more than 4 classes"):
        read(*names, "D/1.jpg")


def test_a_table_beside_each_picture_is_noted_once(read):
    tables = {f"a__{number:03}_csv": "x,y\n1,2\n" for number in range(100)}
    notes = read("a/1.jpg", **tables).notes
    assert (len(notes), notes[0][:9], notes[-1]) == (21, "a/000.csv", "Nor are 80 other tables.")

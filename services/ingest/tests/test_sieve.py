"""Each picture gets its state, by a rule that depends on the order of the pictures and on nothing else."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reel_ingest.duplicates import INVERTED
from reel_ingest.sieve import Known, Sieve, TakenDown, Verdict
from reel_shared.contracts import ImageState, Source

MOVIE, WEB = Source.MOVIE, Source.WEB
ACTIVE, QUARANTINED = ImageState.ACTIVE, ImageState.QUARANTINED
REJECTED, DUPLICATE = ImageState.REJECTED, ImageState.DUPLICATE
A, B, C = 0xF0F0_F0F0_0F0F_0F0F, 0xAAAA_5555_CCCC_3333, 0x9999_0000_FFFF_6666


def sieve(label="kiki", source=WEB, near_distance=6, **options):
    return Sieve(label=label, source=source, near_distance=near_distance, **options)


def old(image_id="old", label="kiki", source=WEB, sha256="s-old", phash=A, **more):
    return Known(image_id, label, source, sha256, phash, **more)


def adds_up(counts):
    parts = (counts.kept, counts.exact_duplicates, counts.near_duplicates, counts.conflicts)
    return counts.seen == sum(parts) + sum(counts.rejected.values()) + sum(counts.refused.values())


def test_every_state():
    judged = sieve(taken_down=[TakenDown("gone", C)])
    verdicts = [
        judged.judge("1", "a", A),
        judged.judge("2", "a", B),
        judged.judge("3", "c", A ^ 0b111),
        judged.judge("4", "d", A ^ INVERTED),
        judged.judge("5", "e", A, quality="dark"),
        judged.judge("6", "gone", B),
        judged.judge("7", "f", C ^ 1),
        judged.judge("8", "g", B),
    ]
    assert verdicts == [
        Verdict(ACTIVE),
        Verdict(DUPLICATE, "exact-duplicate", "1"),
        Verdict(DUPLICATE, "near-duplicate", "1"),
        Verdict(DUPLICATE, "inverted-duplicate", "1"),
        Verdict(REJECTED, "dark"),
        None,
        None,
        Verdict(ACTIVE),
    ]
    judged.refuse("not-a-picture")
    assert judged.counts.model_dump() == {
        "seen": 9, "kept": 2, "exact_duplicates": 1, "near_duplicates": 2, "conflicts": 0,
        "rejected": {"dark": 1}, "refused": {"taken-down": 2, "not-a-picture": 1},
    }  # fmt: skip
    assert judged.settle().counts == judged.counts


def test_what_a_check_rejected_is_compared_with_nothing():
    judged = sieve()
    judged.judge("black", "x", 0, quality="dark")
    assert judged.judge("other", "y", 0) == Verdict(ACTIVE)
    assert judged.judge("black again", "y", 0, quality="dark") == Verdict(REJECTED, "dark")
    far = sieve(taken_down=[TakenDown("gone", 0)])
    assert far.judge("black", "x", 0, quality="dark") == Verdict(REJECTED, "dark")
    assert far.judge("the same", "gone", 0, quality="dark") is None


@pytest.mark.parametrize(("bits", "state"), [(0, DUPLICATE), (4, DUPLICATE), (5, ACTIVE)])
def test_near_distance_is_the_callers(bits, state):
    judged = sieve(near_distance=4, known=[old()])
    assert judged.judge("new", "new", A ^ ((1 << bits) - 1)).state == state


def test_a_negative_may_lack_the_bit_that_never_turns():
    judged = sieve(near_distance=4, known=[old()])
    assert judged.judge("1", "1", A ^ INVERTED ^ 0b11111).reason == "inverted-duplicate"
    assert judged.judge("2", "2", A ^ INVERTED ^ 0b1111110).state == ACTIVE


def test_it_is_found_by_any_of_its_hashes():
    judged = sieve(known=[old()])
    assert judged.judge("1", "1", B, also=[A]).duplicate_of == "old"
    assert judged.judge("2", "2", C, also=[B]).state == ACTIVE
    assert judged.judge("3", "3", C).duplicate_of == "2"
    assert judged.judge("4", "4", B).duplicate_of == "2"
    assert sieve(known=[old(also=(B,))]).judge("5", "5", B).duplicate_of == "old"


def test_the_nearest_is_named_the_first_of_equals_and_exact_before_near():
    known = [old("far", phash=A ^ 0b11), old("one", phash=A ^ 1), old("other", phash=A ^ 2)]
    assert sieve(known=known).judge("new", "new", A).duplicate_of == "one"
    assert sieve(known=known[::-1]).judge("new", "new", A).duplicate_of == "other"
    exact = [*known, old("exact", sha256="new", phash=A ^ 0b111)]
    assert sieve(known=exact).judge("new", "new", A) == Verdict(DUPLICATE, "exact-duplicate", "exact")


# --- the same picture under two labels -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("older", "newer", "state", "of", "contested"),
    [
        (WEB, WEB, QUARANTINED, "old", {"old": None}),
        (MOVIE, MOVIE, QUARANTINED, "old", {"old": None}),
        (MOVIE, WEB, QUARANTINED, "old", {}),
        (WEB, MOVIE, ACTIVE, None, {"old": "new"}),
    ],
)
@pytest.mark.parametrize("change", [{"sha256": "s-old"}, {"phash": A ^ 1}, {"phash": A ^ INVERTED}])
@pytest.mark.parametrize("late", [False, True])
def test_conflicts(older, newer, state, of, contested, change, late):
    known = [old(label="howl", source=older)]
    judged = sieve(source=newer, known=[] if late else known)
    judged.judge("new", **{"sha256": "new", "phash": A, **change})
    settlement = judged.settle(known if late else [])
    reason = "conflict" if state == QUARANTINED else ""
    assert settlement.verdicts == {"new": Verdict(state, reason, of)}
    assert settlement.contested == contested
    assert settlement.counts.conflicts == (state == QUARANTINED)
    assert adds_up(settlement.counts)


def test_a_copy_of_what_is_in_conflict_repeats_its_own_class():
    judged = sieve(known=[old(label="howl")])
    judged.judge("new", "new", A)
    assert judged.judge("copy", "copy", A ^ 1) == Verdict(DUPLICATE, "near-duplicate", "new")
    assert judged.settle().contested == {"old": None}


def test_what_is_quarantined_already_is_not_changed_again():
    known = [old(label="howl", state=QUARANTINED)]
    judged = sieve(known=known)
    assert judged.judge("new", "new", A) == Verdict(QUARANTINED, "conflict", "old")
    assert judged.settle().contested == {}


@pytest.mark.parametrize("label", ["kiki", "howl"])
def test_a_frame_does_not_wait_with_web_pictures(label):
    judged = sieve(source=MOVIE, known=[old(label=label, state=QUARANTINED)])
    assert judged.judge("new", "new", A) == Verdict(ACTIVE)


def test_what_a_person_put_aside_does_not_come_back_and_contradicts_nothing():
    rejected = old("bad", label="howl", state=REJECTED, phash=B)
    wrong = old("wrong", label="howl", state=DUPLICATE, duplicate_of="right")
    right = old("right", label="kiki", sha256="right", phash=A ^ 1)
    again = sieve("howl", known=[rejected, wrong, right])
    assert again.judge("1", "1", A) == Verdict(DUPLICATE, "near-duplicate", "right")
    assert again.judge("2", "2", B) == Verdict(DUPLICATE, "near-duplicate", "bad")
    assert again.settle().contested == {}
    assert sieve("totoro", known=[rejected]).judge("3", "3", B) == Verdict(ACTIVE)


# --- what others did meanwhile ---------------------------------------------------------------------------------


def test_settling_finds_what_other_jobs_stored_and_what_was_taken_down():
    judged = sieve()
    judged.judge("1", "a", A)
    judged.judge("2", "b", A ^ 1)
    judged.judge("3", "c", B)
    judged.judge("4", "d", C)
    judged.judge("5", "e", C, quality="blurred")
    once = judged.settle([old("newcomer", phash=A ^ 2)], [TakenDown("x", C ^ 1)])
    again = judged.settle([old("newcomer", phash=A ^ 2)], [TakenDown("x", C ^ 1)])
    assert once == again
    assert once.verdicts == {
        "1": Verdict(DUPLICATE, "near-duplicate", "newcomer"),
        "2": Verdict(DUPLICATE, "near-duplicate", "newcomer"),
        "3": Verdict(ACTIVE),
        "5": Verdict(REJECTED, "blurred"),
    }
    assert once.counts.refused == {"taken-down": 1}
    assert adds_up(once.counts)
    assert judged.settle().verdicts["1"] == Verdict(ACTIVE)


def test_what_is_taken_down_meanwhile_puts_nothing_in_doubt():
    judged = sieve(source=MOVIE, known=[old(label="howl")])
    judged.judge("new", "s-new", A ^ 1)
    assert judged.settle().contested == {"old": "new"}
    assert judged.settle(taken_down=[TakenDown("s-new", A ^ 1)]).contested == {}


def test_its_own_rows_are_no_newcomers():
    judged = sieve()
    judged.judge("1", "a", A)
    assert judged.settle([old("1", sha256="a")]).verdicts == {"1": Verdict(ACTIVE)}


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdef"),
            st.sampled_from([A, A ^ 1, A ^ INVERTED, B, B ^ 3, C]),
            st.sampled_from([None, None, "dark"]),
        ),
        max_size=25,
    ),
    st.lists(st.sampled_from([A, B, C]), max_size=3),
    st.sampled_from([MOVIE, WEB]),
    st.integers(0, 8),
)
def test_the_counts_add_up_and_a_second_run_keeps_nothing(pictures, older, source, near):
    known = [old(f"k{n}", label="howl", phash=value, sha256=f"k{n}") for n, value in enumerate(older)]

    def run(known):
        judged = sieve(source=source, near_distance=near, known=known)
        for number, (sha256, phash, quality) in enumerate(pictures):
            judged.judge(str(number), sha256, phash, quality=quality)
        return judged

    first = run(known)
    settlement = first.settle()
    assert adds_up(settlement.counts)
    assert first.counts == settlement.counts
    assert run(known).settle() == settlement
    states = Counter(verdict.state for verdict in settlement.verdicts.values())
    assert states[ACTIVE] == settlement.counts.kept
    stored = {
        str(n): Known(str(n), "kiki", source, sha256, phash, settlement.verdicts[str(n)].state)
        for n, (sha256, phash, _) in enumerate(pictures)
    }
    standing = [one for one in stored.values() if one.stands]
    assert all(verdict.duplicate_of in {*stored, *(k.id for k in known)}
               for verdict in settlement.verdicts.values() if verdict.state == DUPLICATE)  # fmt: skip
    after = [old(k.id, label="howl", phash=k.phash, sha256=k.sha256,
                 state=QUARANTINED if k.id in settlement.contested else ACTIVE) for k in known]  # fmt: skip
    second = sieve(source=source, near_distance=near, known=[*after, *standing])
    for number, (sha256, phash, quality) in enumerate(pictures):
        second.judge(f"again {number}", sha256, phash, quality=quality)
    assert second.counts.kept == 0
    assert second.settle().contested == {}


def test_a_large_dataset_costs_little_for_each_picture():
    hashes = np.random.default_rng(1).integers(0, 2**64, 100_000, dtype=np.uint64)
    judged = sieve(known=[old(str(n), phash=int(h), sha256=str(n)) for n, h in enumerate(hashes)])
    began = time.perf_counter()
    found = [judged.judge(f"new {n}", f"new {n}", int(hashes[n]) ^ 0b101) for n in range(200)]
    assert time.perf_counter() - began < 2
    assert [verdict.duplicate_of for verdict in found] == [str(n) for n in range(200)]


@pytest.mark.parametrize(
    ("sources", "states", "by"),
    [
        ((WEB, WEB), (QUARANTINED, QUARANTINED), None),
        ((MOVIE, WEB), (ACTIVE, QUARANTINED), None),
        ((WEB, MOVIE), (QUARANTINED, ACTIVE), "2"),
        ((MOVIE, MOVIE), (QUARANTINED, QUARANTINED), None),
    ],
)
def test_one_stream_of_two_classes_contradicts_itself(sources, states, by):
    judged = sieve()
    for image_id, label, source in zip("12", ("kiki", "mulan"), sources, strict=True):
        judged.judge(image_id, "s" + image_id, A, label=label, source=source)
    found = judged.settle()
    assert tuple(found.verdicts[image_id].state for image_id in "12") == states
    assert found.verdicts["1"].duplicate_of == by
    assert found.contested == {}, "none of them is stored yet"
    assert (found.counts.kept, found.counts.conflicts) == (states.count(ACTIVE), states.count(QUARANTINED))
    assert judged.counts == found.counts


def test_pictures_of_a_stream_may_be_nearer_to_each_other_than_to_those_that_stand():
    judged = sieve(known=[old(phash=B)], own_distance=-1)
    verdicts = [judged.judge(name, "s" + name, phash) for name, phash in (("1", A), ("2", A), ("3", B ^ 1))]
    assert [verdict.state for verdict in verdicts] == [ACTIVE, ACTIVE, DUPLICATE]
    assert judged.judge("4", "s1", A) == Verdict(DUPLICATE, "exact-duplicate", "1")
    assert judged.settle([old("new", phash=A ^ 1)]).counts.kept == 0

"""Selective and parallel decoding are exact: whatever the codec and its GOPs, one full pass is the truth."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from reel_ingest import frames, packets
from reel_ingest.frames import Look, Plan, RangeScores, Sampling, Tally, extract_range, join_scenes, plan
from reel_shared import errors

LENGTHS = [31, 17, 44, 28]
COUNT = sum(LENGTHS)

FILMS = {
    "closed.mp4": ("libx264", {"g": "24", "bf": "3", "b-pyramid": "none", "sc_threshold": "0"}),
    "pyramid.mkv": ("libx264", {"g": "30", "bf": "3", "x264-params": "b-pyramid=normal:open-gop=1"}),
    "open.ts": ("libx264", {"g": "20", "bf": "5", "x264-params": "open-gop=1:b-pyramid=strict"}),
    "flat.mp4": ("libx264", {"g": "16", "bf": "0"}),
    "refresh.mp4": ("libx264", {"g": "20", "bf": "2", "x264-params": "intra-refresh=1"}),
    "hevc.mkv": ("libx265", {"x265-params": "keyint=24:bframes=4:open-gop=0:log-level=none"}),
    "hevc-open.ts": ("libx265", {"x265-params": "keyint=20:bframes=4:open-gop=1:b-pyramid=1:log-level=none"}),
    "hevc-layers.mp4": ("libx265", {"x265-params": "keyint=24:bframes=4:temporal-layers=3:log-level=none"}),
    "mpeg2.ts": ("mpeg2video", {"g": "12", "bf": "2", "b": "2000000"}),
    "mpeg4.mp4": ("mpeg4", {"g": "15", "bf": "2", "b": "2000000"}),
    "mpeg4.avi": ("mpeg4", {"g": "15", "bf": "2", "b": "2000000"}),
    "vp8.webm": ("libvpx", {"g": "24", "auto-alt-ref": "1", "lag-in-frames": "12", "deadline": "realtime"}),
    "vp9.webm": ("libvpx-vp9", {"g": "24", "lag-in-frames": "12", "deadline": "realtime", "cpu-used": "8"}),
    "av1.mp4": ("libsvtav1", {"g": "24", "preset": "12"}),
    "old.avi": ("msmpeg4", {"g": "15", "b": "2000000"}),
    "motion.avi": ("mjpeg", {"pix_fmt": "yuvj420p"}),
}


@pytest.fixture(scope="module")
def codec_film(tmp_path_factory, draw_frame):
    folder = tmp_path_factory.mktemp("codecs")
    pictures = [
        draw_frame(1000 * scene + i, scene_length=1000)
        for scene, length in enumerate(LENGTHS)
        for i in range(length)
    ]

    def make(name, wanted=pictures, start=0):
        path = folder / name
        if not path.exists():
            codec, options = FILMS[name]
            options = dict(options)
            with av.open(str(path), "w") as container:
                stream = container.add_stream(codec, rate=24)
                stream.width, stream.height = 160, 96
                stream.pix_fmt = options.pop("pix_fmt", "yuv420p")
                stream.options = (
                    {"preset": "veryfast", **options} if codec in {"libx264", "libx265"} else options
                )
                for index, picture in enumerate(wanted):
                    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                    frame.pts, frame.time_base = start + index, Fraction(1, 24)
                    container.mux(stream.encode(frame))
                container.mux(stream.encode())
            # SVT-AV1, run by root, leaves its caller a real-time process, and what that starts: both starve others
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        return path

    return make


def run(path, sampling, look, way):
    """Everything that is said of the frames, decoded in one of the ways."""
    tally = Tally(full_decode="for comparison" if way == "front to back" else None)
    return list(frames._one_pass(path, sampling, look, None, tally, way)), tally


def union(path, sampling, look, parts):
    """The film in ranges, each with what it needs carried as JSON, as between machines."""
    planned = Plan.from_json(json.loads(json.dumps(plan(path, sampling, parts=parts).to_json())))
    taken, carried = [], []
    for part in planned.ranges:
        scores, tally = RangeScores(), Tally()
        taken += extract_range(path, planned, part.number, sampling, look, scores=scores, tally=tally)
        assert tally.frames == part.frames or planned.full_decode
        carried.append(RangeScores.from_json(json.loads(json.dumps(scores.to_json()))))
    scenes = join_scenes(carried)
    return [replace(frame, scene=scenes.by_frame[frame.index]) for frame in taken], planned, scenes


@pytest.mark.parametrize("name", FILMS)
def test_leaving_frames_out_and_cutting_change_nothing(codec_film, name):
    path, sampling, look = codec_film(name), Sampling(every_frames=5), Look(width=120)
    truth, plain = run(path, sampling, look, "front to back")
    assert plain.decoded == COUNT
    selective, tally = run(path, sampling, look, "selective")
    assert selective == truth
    assert [f.index for f in truth] == list(range(0, COUNT, 5))
    assert tally.corrupt == 0
    starts = np.cumsum(LENGTHS)
    assert [f.scene for f in selective] == np.searchsorted(
        starts, [f.index for f in truth], side="right"
    ).tolist()
    for parts in (2, 3, 5):
        together, planned, scenes = union(path, sampling, look, parts)
        assert together == selective
        assert scenes.count == tally.scenes == len(LENGTHS)
        assert 1 <= len(planned.ranges) <= parts


@pytest.mark.parametrize(
    ("name", "spared", "ranges"),
    [
        ("closed.mp4", True, 3),
        ("pyramid.mkv", True, 3),
        ("open.ts", True, 3),
        ("hevc.mkv", True, 3),
        ("hevc-open.ts", True, 3),
        ("hevc-layers.mp4", True, 3),
        ("mpeg2.ts", True, 3),
        ("mpeg4.mp4", True, 3),
        ("vp9.webm", False, 3),
        ("av1.mp4", False, 3),
        ("flat.mp4", False, 3),
        ("refresh.mp4", True, 1),
        ("mpeg4.avi", True, 3),
        ("motion.avi", False, 3),
        ("old.avi", False, 1),
    ],
)
def test_what_can_be_spared_and_cut(codec_film, name, spared, ranges):
    path, sampling = codec_film(name), Sampling(every_frames=24)
    _, tally = run(path, sampling, Look(), "selective")
    assert (tally.decoded < 0.8 * COUNT) == spared
    assert len(plan(path, sampling, parts=3).ranges) == ranges


def test_a_film_whose_packets_are_not_understood_is_decoded_from_front_to_back(codec_film):
    planned = plan(codec_film("old.avi"), Sampling(every_frames=24), parts=4)
    assert planned.full_decode is not None
    tally = Tally()
    list(frames.extract_frames(codec_film("old.avi"), every_frames=24, tally=tally))
    assert tally.full_decode == planned.full_decode
    assert tally.decoded == COUNT


def test_a_piece_of_an_open_gop_film_begins_at_its_first_decodable_frame(codec_film, tmp_path):
    """Pieces cut from a stream begin with leading frames that refer to what came before the piece."""
    path = tmp_path / "piece.ts"
    with av.open(str(codec_film("hevc-open.ts"))) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        keys = 0
        for packet in source.demux(video=0):
            keys += packet.is_keyframe
            if packet.size and keys >= 2:
                packet.stream = stream
                target.mux(packet)
    sampling, look = Sampling(every_frames=3), Look()
    truth, plain = run(path, sampling, look, "front to back")
    selective, tally = run(path, sampling, look, "selective")
    assert [(f.index, f.pts, f.jpeg) for f in selective] == [(f.index, f.pts, f.jpeg) for f in truth]
    assert tally.frames == plain.decoded
    assert tally.full_decode is None
    assert union(path, sampling, look, 3)[0] == selective


def test_by_time_and_in_a_part_of_the_film(codec_film):
    path = codec_film("pyramid.mkv")
    for sampling in (
        Sampling(every_seconds=0.3),
        Sampling(every_seconds=0.25, start_seconds=0.6, end_seconds=3.1),
        Sampling(every_frames=4, start_seconds=1.0, end_seconds=2.0),
    ):
        truth, _ = run(path, sampling, Look(), "front to back")
        selective, tally = run(path, sampling, Look(), "selective")
        assert [(f.index, f.jpeg) for f in selective] == [(f.index, f.jpeg) for f in truth]
        assert [f.scene for f in selective] == [f.scene for f in truth]
        assert union(path, sampling, Look(), 3)[0] == selective
        if sampling.end_seconds is not None:
            assert tally.last_seconds < sampling.end_seconds + 0.5
            assert all(sampling.start_seconds <= f.time_seconds < sampling.end_seconds for f in selective)


def test_fast_takes_decoded_frames_and_says_how_far_off(codec_film):
    path = codec_film("closed.mp4")
    exact, _ = run(path, Sampling(every_frames=5), Look(), "selective")
    tally = Tally()
    quick = list(frames.extract_frames(path, every_frames=5, mode="fast", tally=tally))
    assert {f.index for f in quick} != {f.index for f in exact}
    due = {f.time_seconds for f in exact}
    for frame in quick:
        assert min(abs(frame.time_seconds + frame.shift_seconds - time) for time in due) < 1e-9
    assert 0 < abs(tally.largest_shift_seconds) <= 3 / 24
    assert tally.decoded < 0.7 * COUNT
    assert union(path, Sampling(every_frames=5, mode="fast"), Look(), 3)[0] == quick


def test_a_plan_of_another_film_is_refused(codec_film):
    planned = plan(codec_film("closed.mp4"), Sampling(every_frames=5), parts=2)
    with pytest.raises(errors.Conflict, match="another film"):
        list(
            extract_range(
                codec_film("flat.mp4"),
                planned,
                1,
                Sampling(every_frames=5),
                Look(),
                scores=RangeScores(),
                tally=Tally(),
            )
        )


def test_nothing_is_taken_between_damage_and_the_next_entry(codec_film, tmp_path):
    data = bytearray(codec_film("closed.mp4").read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 12] = bytes(len(data) // 12)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    sampling, tally = Sampling(every_frames=5), Tally()
    selective = list(frames.extract_frames(path, every_frames=5, tally=tally))
    truth, plain = run(path, sampling, Look(), "every packet")
    assert selective == truth
    assert plain.corrupt >= tally.corrupt > 0
    assert len(selective) + tally.lost == len(range(0, COUNT, 5))
    whole = {f.index: f.jpeg for f in run(codec_film("closed.mp4"), sampling, Look(), "selective")[0]}
    assert [f.index for f in selective if f.jpeg != whole[f.index]] == []
    lost = sorted(set(whole) - {f.index for f in selective})
    assert lost == list(range(lost[0], lost[-1] + 1, 5))
    assert selective[-1].index == 115
    assert union(path, sampling, Look(), 3)[0] == truth


def test_frames_that_are_not_where_their_packets_say_are_noticed(codec_film, monkeypatch):
    """A table that is wrong must never give frames a wrong number."""
    path = codec_film("flat.mp4")
    truth, _ = run(path, Sampling(every_frames=5), Look(), "front to back")
    real = packets.read_table

    def lies(container, stream):
        table = real(container, stream)
        shown = table.shown.copy()
        shown[50] += 3
        return replace(table, shown=shown)

    monkeypatch.setattr("reel_ingest.decoding.read_table", lies)
    tally = Tally()
    assert list(frames.extract_frames(path, every_frames=5, tally=tally)) == truth
    assert tally.full_decode == "a frame is not where its packet says"
    planned = plan(path, Sampling(every_frames=5), parts=3)
    options = {"scores": RangeScores(), "tally": Tally()}
    taken = extract_range(path, planned, 1, Sampling(every_frames=5), Look(), **options)
    with pytest.raises(errors.Conflict) as refused:
        list(taken)
    assert refused.value.extra["reason"] == frames.ONE_PART

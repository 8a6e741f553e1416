"""Frames: exact numbers and times, scenes, shapes, and files that are no films."""

from __future__ import annotations

import io
import itertools
import wave
from fractions import Fraction

import av
import numpy as np
import pytest
import simplejpeg
from PIL import Image

from reel_ingest.frames import Tally, extract_frames, probe, target_size
from reel_ingest.rendering import Look
from reel_shared import errors


def decode(frame):
    return simplejpeg.decode_jpeg(frame.jpeg)


def test_frames_taken_are_every_nth_source_frame_exactly(film, read_number):
    tally = Tally()
    frames = list(extract_frames(film("plain.mp4"), every_frames=10, tally=tally))
    assert [f.index for f in frames] == list(range(0, 96, 10))
    assert [read_number(decode(f)) for f in frames] == [f.index for f in frames]
    assert [f.time_seconds for f in frames] == pytest.approx([f.index / 24 for f in frames], abs=1e-9)
    assert (tally.decoded, tally.corrupt, tally.lost) == (96, 0, 0)


def test_every_second_by_time(film, read_number):
    frames = list(extract_frames(film("plain.mp4"), every_seconds=0.5))
    assert [read_number(decode(f)) for f in frames] == [0, 12, 24, 36, 48, 60, 72, 84]


def test_variable_frame_rate_goes_by_time_not_by_number(film, read_number):
    # 48 frames at 24 per second, then 20 slow ones: two a second.
    times = [i * 42 for i in range(48)] + [2016 + i * 500 for i in range(20)]
    path = film("variable.mkv", map(_numbered, range(68)), times_ms=times)
    frames = list(extract_frames(path, every_seconds=1.0))
    assert [round(f.time_seconds * 1000) for f in frames] == [times[read_number(decode(f))] for f in frames]
    taken = [read_number(decode(f)) for f in frames]
    assert taken[:3] == [0, 24, 48]
    assert np.diff(taken[3:]).tolist() == [2] * (len(taken) - 4)


def _numbered(index):
    picture = np.full((96, 160, 3), 90, dtype=np.uint8)  # a still film: only the number changes
    picture[:40] = np.random.default_rng(1).integers(0, 255, (40, 160, 3), dtype=np.uint8)
    for bit in range(8):
        picture[88:, bit * 10 : bit * 10 + 10] = 255 if index >> bit & 1 else 0
    return picture


def test_time_starts_at_zero_when_the_stream_does_not(film, read_number):
    path = film("shifted.ts", first_pts=2400)
    with av.open(str(path)) as container:
        assert container.streams.video[0].start_time * container.streams.video[0].time_base >= 100
    frames = list(extract_frames(path, every_frames=48))
    assert [f.time_seconds for f in frames] == [0.0, 2.0]
    assert frames[0].pts > 0
    assert [read_number(decode(f)) for f in frames] == [0, 48]


def test_a_part_keeps_the_numbers_and_scenes_of_the_whole(film):
    whole = {f.index: f for f in extract_frames(film("plain.mp4"), every_frames=6)}
    part = list(extract_frames(film("plain.mp4"), every_frames=6, start_seconds=0.9, end_seconds=3.0))
    assert [f.index for f in part] == list(range(24, 72, 6))
    assert part == [whole[f.index] for f in part]


def test_scene_of_every_frame_is_right(film):
    tally = Tally()
    frames = list(extract_frames(film("plain.mp4"), every_frames=1, tally=tally))
    assert [f.scene for f in frames] == [i // 24 for i in range(96)]
    assert tally.scenes == 4


@pytest.mark.parametrize(
    ("box", "keep", "size"),
    [
        ((700, 400), True, (160, 96)),
        ((80, 80), True, (80, 48)),
        ((None, 48), True, (80, 48)),
        ((700, 400), False, (700, 400)),
        ((None, None), True, (160, 96)),
    ],
)
def test_size(box, keep, size):
    assert target_size(160, 96, *box, keep_aspect=keep) == size


def test_size_crop_and_quality_reach_the_jpeg(film):
    options = {"every_frames": 48, "width": 60, "height": 60, "crop": (8, 0, 8, 16)}
    frames = list(extract_frames(film("plain.mp4"), quality=90, **options))
    assert {(f.width, f.height) for f in frames} == {(60, 33)}
    assert Image.open(io.BytesIO(frames[0].jpeg)).size == (60, 33)
    rough = next(extract_frames(film("plain.mp4"), quality=20, **options))
    assert len(rough.jpeg) < len(frames[0].jpeg)


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "yuv444p"])
def test_crop_is_in_pixels_of_the_upright_film(film, rotation, pixel_format, draw_frame):
    upright = draw_frame(5)
    stored = np.rot90(upright, -rotation // 90)
    path = film(
        f"crop{rotation}-{pixel_format}.mp4", [stored] * 3, rotation=rotation, pixel_format=pixel_format
    )
    top, right, bottom, left = 10, 20, 6, 34
    picture = decode(next(extract_frames(path, every_frames=5, crop=(top, right, bottom, left))))
    wanted = upright[top : 96 - bottom, left : 160 - right]
    assert picture.shape == wanted.shape
    assert np.abs(picture.astype(int) - wanted).mean() < 10


def test_crop_that_leaves_nothing_is_refused(film):
    with pytest.raises(errors.Unprocessable, match="leaves nothing"):
        list(extract_frames(film("plain.mp4"), every_frames=48, crop=(50, 0, 50, 0)))


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotated_films_come_out_upright(film, rotation, draw_frame):
    upright = draw_frame(5)
    stored = np.rot90(upright, -rotation // 90)
    path = film(f"turned{rotation}.mp4", [stored] * 5, rotation=rotation)
    picture = decode(next(extract_frames(path, every_frames=5)))
    assert picture.shape == upright.shape
    assert np.abs(picture.astype(int) - upright).mean() < 12
    info = probe(path)
    assert (info.width, info.height) == (160, 96)


def test_wide_pixels_are_shown_wide(film):
    path = film("anamorphic.mp4", aspect=Fraction(4, 3))
    frame = next(extract_frames(path, every_frames=96))
    assert (frame.width, frame.height) == (213, 96)
    assert probe(path).width == 213


def test_ten_bit_films(film, read_number):
    path = film("ten.mp4", pixel_format="yuv420p10le")
    frames = list(extract_frames(path, every_frames=12))
    assert [read_number(decode(f)) for f in frames] == list(range(0, 96, 12))
    assert [f.scene for f in frames] == [i // 24 for i in range(0, 96, 12)]


def test_black_and_empty_frames_say_so(film, draw_frame):
    black = [np.zeros((96, 160, 3), np.uint8)] * 12
    grey = [np.full((96, 160, 3), 128, np.uint8)] * 12
    path = film("fades.mp4", [*black, *grey, *[draw_frame(i) for i in range(12)]])
    assert [f.refusal for f in extract_frames(path, every_frames=12)] == ["dark", "low-information", None]


def test_damaged_frames_are_counted_and_left_out(film, tmp_path):
    data = bytearray(film("plain.mp4").read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 20] = bytes(len(data) // 20)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    tally = Tally()
    frames = list(extract_frames(path, every_frames=1, tally=tally))
    assert tally.corrupt > 0
    assert tally.lost > 0
    assert len(frames) + tally.lost == tally.frames == 96
    assert len(frames) > 60
    assert frames[-1].time_seconds == pytest.approx(95 / 24)


def test_a_film_cut_off_behind_its_header_is_refused(film, tmp_path):
    whole = film("faststart.mp4", container_options={"movflags": "faststart"}).read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(errors.BadMovie, match=r"says it lasts 4\.0 s but its pictures end at"):
        list(extract_frames(path, every_frames=10))


def _sound(path):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16000))


def _song_with_cover(path):
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame(format="s16", layout="mono", samples=800)
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))


@pytest.mark.parametrize(
    ("name", "write", "says"),
    [
        ("empty.mp4", lambda p: p.write_bytes(b""), "empty"),
        ("noise.mp4", lambda p: p.write_bytes(np.random.default_rng(0).bytes(9999)), "cannot be read"),
        ("text.mp4", lambda p: p.write_text("not a film " * 100), "cannot be read"),
        ("picture.png", lambda p: Image.new("RGB", (64, 64)).save(p), "cannot be read"),
        ("sound.wav", _sound, "cannot be read"),
        ("song.mkv", _song_with_cover, "no moving picture"),
    ],
)
def test_what_is_no_film_is_refused(tmp_path, name, write, says):
    path = tmp_path / name
    write(path)
    with pytest.raises(errors.BadMovie, match=says):
        next(extract_frames(path, every_frames=48))
    with pytest.raises(errors.BadMovie, match=says):
        probe(path)


def test_a_film_cut_off_before_its_header_is_refused(film, tmp_path):
    path = tmp_path / "headless.mp4"
    path.write_bytes(film("plain.mp4").read_bytes()[:5000])
    with pytest.raises(errors.BadMovie, match="cannot be read"):
        probe(path)


def test_a_playlist_cannot_name_other_files(film, tmp_path):
    """An uploaded 'film' that is a playlist would otherwise open any file that the worker can read."""
    secret = film("shifted.ts")
    hls = tmp_path / "film.mp4"
    hls.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile://{secret}\n#EXT-X-ENDLIST\n")
    concat = tmp_path / "film.mkv"
    concat.write_text(f"ffconcat version 1.0\nfile '{secret}'\n")
    for path in (hls, concat):
        with pytest.raises(errors.BadMovie):
            probe(path)


def test_progress_goes_forward_and_may_stop_the_work(film):
    seen = []
    list(extract_frames(film("plain.mp4"), every_frames=48, on_progress=lambda *p: seen.append(p)))
    assert seen == sorted(seen)
    assert seen[-1][1] == 4.0

    class StopError(Exception):
        pass

    def stop(_done, _total):
        raise StopError

    with pytest.raises(StopError):
        list(extract_frames(film("plain.mp4"), every_frames=48, on_progress=stop))


def test_frames_come_while_the_film_is_still_read(film):
    tally = Tally()
    first = list(itertools.islice(extract_frames(film("plain.mp4"), every_frames=10, tally=tally), 2))
    assert [f.index for f in first] == [0, 10]
    assert tally.decoded < 80


def test_probe(film):
    info = probe(film("plain.mp4"))
    assert (info.width, info.height, info.codec, info.frames_estimate) == (160, 96, "h264", 96)
    assert info.duration_seconds == pytest.approx(4.0)
    assert info.frame_rate == pytest.approx(24.0)


@pytest.mark.parametrize("width", [310, 320, 306, 297])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_picture_depends_on_the_visible_pixels_alone(width, scale):
    """Decoders and crops leave anything behind the right edge of a plane."""
    pixels = np.random.default_rng(0).integers(0, 255, (300, 512), dtype=np.uint8)

    def rendered(left_over):
        frame = av.VideoFrame(width, 172, "yuv420p")
        for plane in frame.planes:
            rows = np.frombuffer(plane, dtype=np.uint8).reshape(-1, plane.line_size)
            rows[:] = left_over
            rows[: plane.height, : plane.width] = pixels[: plane.height, : plane.width]
        look = Look(width=int(width * scale), height=int(172 * scale), keep_aspect=False)
        return look.render(frame, Fraction(1))

    first = rendered(0)
    for left_over in (255, 128):
        rendered(90)  # memory that is used again holds something else
        np.testing.assert_array_equal(rendered(left_over), first)

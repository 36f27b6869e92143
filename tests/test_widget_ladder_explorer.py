"""The ladder explorer shows the recorded numbers, in a kernel and in a page without one, for one rung and for twenty."""

import itertools
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from bs4 import BeautifulSoup

from pixelcnn_edu import Config, build
from pixelcnn_edu.runs import COLUMNS, read_run
from pixelcnn_edu.widgets import LadderExplorer
from pixelcnn_edu.widgets.ladder_explorer import CHOICES, COLORS, DASHES, draw, static_html
from pixelcnn_edu.widgets.ladders import (
    HEIGHT,
    LINE,
    RANGES,
    RIGHT,
    WIDTH,
    View,
    layout,
    limits,
    measured,
    parameter_count,
    read_ladder,
    read_own,
    spread,
    stops,
    tick_marks,
)

RECORDED = Path(__file__).parent.parent / "book" / "runs" / "ladder"
NAMES = ["full", "softmax", "no-shortcuts", "sub-pixels", "original", "no-downsampling", "dequantized", "few-images"]
NAMES += ["few-images-dropout", "no-init", "no-ema", "mixtures-1", "mixtures-2", "mixtures-5", "full-seed-1", "dropout"]
NAMES += ["classes", "hundred-images", "full-seed-2", "another-rung"]


def write_run(folder, seed=0, records=12, finished=True, test=True, **overrides):
    """A run of invented numbers, as `fit` writes it."""
    folder.mkdir(parents=True)
    random, images = np.random.default_rng(seed), 4000 * np.arange(1, records + 1)
    seconds = (images / 4000 * 90 * random.uniform(0.7, 3)).round(2)
    train = (3.8 + random.uniform(0, 0.3) + 6000 / images).round(4)
    values = (3.8 + random.uniform(0, 0.3) + 18000 / images).round(4) if test else [""] * records
    tested = [(500 if n < records - 1 or not finished else 10000) if test else "" for n in range(records)]
    rows = zip(images // 16, seconds, images, train, values, tested, [""] * records)  # no live weights
    lines = [",".join(COLUMNS), *(",".join(map(str, row)) for row in rows)]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    config = Config.tiny(image_shape=(3, 8, 8), filters=3, **overrides)
    (folder / "config.json").write_text(json.dumps({"model": config.to_dict(), "training": {"steps": 3000}}))
    (folder / "environment.json").write_text(json.dumps({"finished": finished}))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twenty rungs, one of them stopped early."""
    folder = tmp_path_factory.mktemp("ladder")
    for seed, name in enumerate(NAMES):
        is_whole = name != "no-ema"
        write_run(folder / name, seed, records=12 if is_whole else 7, finished=is_whole, mixtures=1 + seed)
    return folder


@pytest.fixture(scope="module")
def curves(folder):
    return read_ladder(folder)


def test_the_recorded_ladder_is_read_full_first():
    curves, run = read_ladder(RECORDED), read_run(RECORDED / "full")
    assert curves[0].name == "full"
    expected = zip(run.metrics["images"], run.metrics["validation_bits_per_dim"], strict=True)
    assert [(x, y) for x, y, _ in curves[0].points("images seen", "held-out images")] == list(expected)
    assert curves[0].last() == (run.metrics["validation_bits_per_dim"][-1], 10_000)
    for curve in curves:
        config = read_run(RECORDED / curve.name).config
        assert curve.parameters == sum(weights.numel() for weights in build(config).parameters())


def test_a_record_says_on_which_images_it_was_measured(curves):
    by_name = {curve.name: curve for curve in curves}
    on = [images for *_, images in by_name["full"].points("seconds", "held-out images")]
    assert on == ["the first 500 held-out images"] * 11 + ["all 10,000 held-out images"]
    assert {images for *_, images in by_name["no-ema"].points("seconds", "held-out images")} == {
        "the first 500 held-out images"
    }
    assert {images for *_, images in by_name["full"].points("seconds", "training images")} == {"training images"}


def test_parameters_are_counted_without_numbers():
    assert parameter_count(Config.paper()) == 53_659_080


def test_labels_stay_apart_inside_and_as_near_as_can_be():
    random = np.random.default_rng(0)
    for count in (1, 2, 5, 21):
        for wanted in ([150.0] * count, [0.0] * count, [300.0] * count, list(random.uniform(0, HEIGHT, count))):
            placed = spread(wanted)
            assert all(b - a >= LINE - 1e-9 for a, b in itertools.pairwise(sorted(placed)))
            assert min(placed) >= LINE / 2 - 1e-9
            assert max(placed) <= HEIGHT - LINE / 2 + 1e-9
            assert np.argsort(wanted, kind="stable").tolist() == np.argsort(placed, kind="stable").tolist()
    assert spread([100.0, 200.0]) == [100.0, 200.0]  # what does not overlap stays
    assert spread([100.0, 100.0]) == [100 - LINE / 2, 100 + LINE / 2]


def test_ticks_are_few_and_round():
    ranges = ((0, 48), (3.71, 8.63), (3.8372, 3.9391), (0, 9123), (3.9, 4.0))
    for (low, high), most in itertools.product(ranges, (6, 9)):
        marks, decimals = tick_marks(low, high, most)
        assert most // 3 <= len(marks) <= most
        assert low <= marks[0] < marks[-1] <= high
        assert all(math.isclose(mark, round(mark, decimals)) for mark in marks)


def test_every_curve_is_inside_its_axes_and_so_are_all_ends_when_zoomed(curves):
    view = View((True,) * 20)
    _, scaled = measured(curves, view)
    low, high = limits(scaled, False)
    assert all(low < y < high for points in scaled for _, y, _ in points)
    near, far = limits(scaled, True)
    assert all(near < points[-1][1] < far for points in scaled)
    assert far - near < high - low


@pytest.mark.parametrize("axis", ["images", "seconds"])
def test_the_drawn_points_read_off_the_drawn_ticks_are_the_records(folder, curves, axis):
    names = {"images": "images seen", "seconds": "seconds"}
    parts = layout(curves, View((True,) * 20, axis=names[axis]))
    (y0, low), *_, (y1, high) = [(float(place), float(text)) for place, text in parts["y"]]
    (x0, left), *_, (x1, right) = [(float(place), float(text)) for place, text in parts["x"]]  # in percent of the width
    thousand = 1000 if axis == "images" else 1
    for curve, part in zip(curves, parts["curves"], strict=True):
        points = np.array([point.split() for point in part["line"][1:].split("L")], float)
        metrics = read_run(folder / curve.name).metrics
        bits = low + (points[:, 1] - y0) / (y1 - y0) * (high - low)
        places = left + (points[:, 0] * 100 / WIDTH - x0) / (x1 - x0) * (right - left)
        assert np.abs(bits - metrics["validation_bits_per_dim"]).max() < 0.005
        assert np.abs(places * thousand - metrics[axis]).max() < 0.004 * metrics[axis].max() + 1


def test_no_two_of_twenty_rungs_look_alike(curves):
    looks = re.findall(r'<g class="lad-color(\d) lad-dash(\d)">', draw(curves, View((True,) * 20)))
    assert len(set(looks)) == len(NAMES) == 20
    assert (len(COLORS), len(DASHES)) == (5, 4)
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in itertools.pairwise(looks))


def cells(html):
    rows = BeautifulSoup(html, "html.parser").select("tbody tr")
    return {row.th.get_text(): [cell.get_text() for cell in row.select("td")] for row in rows}


def test_the_table_has_the_recorded_numbers(folder, curves):
    table = cells(static_html(curves))
    assert list(table) == ["full", *sorted(NAMES[1:])]
    full = read_run(folder / "full").metrics["validation_bits_per_dim"][-1]
    for name, (parameters, images, bits, difference, state) in table.items():
        run = read_run(folder / name)
        assert parameters == f"{sum(weights.numel() for weights in build(run.config).parameters()):,}"
        assert images == f"{run.metrics['images'][-1]:,.0f}"
        last = run.metrics["validation_bits_per_dim"][-1]
        if name == "no-ema":
            assert (bits, difference, state) == ("none yet", "–", "stopped early")
        else:
            assert (bits, state) == (f"{last:.4f}", "finished")
            assert difference == ("0" if name == "full" else f"{last - full:+.4f}")


def test_a_ladder_without_full_and_a_run_without_test_images(tmp_path):
    write_run(tmp_path / "ladder" / "softmax")
    own = write_run(tmp_path / "own", test=False)
    live = LadderExplorer(tmp_path / "ladder", own=own)
    assert cells(live.view.value)["softmax"][3] == "–"
    assert cells(live.view.value)["your run"][2:] == ["none yet", "–", "finished"]
    assert "Nothing recorded yet: your run." in live.view.value
    live.measure.value = "training images"
    assert re.search(r"On training images: .*your run \d", live.view.value)
    live.measure.value, live.shown[0].value = "held-out images", False
    assert "Nothing recorded yet: your run." in live.view.value


def test_a_run_of_a_moment_can_be_shown_alone(tmp_path):
    table = write_run(tmp_path / "full", records=1) / "metrics.csv"
    table.write_text(",".join(COLUMNS) + "\n1,0.2,16,8.5,8.6,500,\n")
    live = LadderExplorer(tmp_path)
    live.axis.value = "seconds"
    assert "At 1 seconds" in live.view.value
    assert "full 8.6000" in live.view.value


def test_folders_without_a_record_are_passed_over_and_none_is_an_error(tmp_path):
    (tmp_path / "begun").mkdir()
    write_run(tmp_path / "stopped-at-once", records=0)
    with pytest.raises(FileNotFoundError, match="no recorded run"):
        LadderExplorer(tmp_path)
    write_run(tmp_path / "full")
    assert [curve.name for curve in read_ladder(tmp_path)] == ["full"]
    with pytest.raises(ValueError, match="no record yet"):
        LadderExplorer(tmp_path, own=tmp_path / "stopped-at-once")
    (tmp_path / "other.csv").write_text("step,loss\n1,2\n")
    with pytest.raises(ValueError, match="no column"):
        LadderExplorer(tmp_path, own=tmp_path / "other.csv")
    with pytest.raises(FileNotFoundError):
        LadderExplorer(tmp_path, own=tmp_path / "nowhere")


@pytest.mark.parametrize("part", ["", "metrics.csv"])
def test_the_readers_run_is_laid_over(folder, tmp_path, part):
    own = write_run(tmp_path / "mine", seed=99, records=5)
    live = LadderExplorer(folder, own=own / part)
    run = read_run(own)
    assert [y for _, y, _ in live._curves[-1].points("seconds", "held-out images")] == run.metrics[
        "validation_bits_per_dim"
    ].tolist()
    parameters, images, bits, _, state = cells(live.view.value)["your run"]
    assert (images, bits) == ("20,000", f"{run.metrics['validation_bits_per_dim'][-1]:.4f}")
    known = part == ""
    assert (parameters, state) == ((f"{parameter_count(run.config):,}", "finished") if known else ("not recorded",) * 2)
    assert read_own(own / part).final
    assert '<g class="lad-own">' in live.view.value


def test_the_html_is_small_whole_and_the_same_each_time(folder, curves):
    html = static_html(curves)
    assert html == static_html(read_ladder(folder))
    assert len(html) < 400_000
    assert not re.search(r"https?:|url\(|@import", html)


def test_a_name_cannot_break_the_page(tmp_path):
    write_run(tmp_path / "a<b>&")
    html = static_html(read_ladder(tmp_path))
    assert "<b>" not in html
    assert list(cells(html)) == ["a<b>&"]


def test_it_has_three_faces(folder, curves):
    bundle = LadderExplorer(folder)._repr_mimebundle_()
    assert bundle["text/plain"].startswith("LadderExplorer: ")
    assert bundle["text/html"] == static_html(curves)
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_the_live_face_follows_its_controls(folder, curves):
    live, shown = LadderExplorer(folder), [True] * 20
    assert draw(curves, View(tuple(shown))) in live.view.value
    live.axis.value, live.measure.value, live.range.value = "seconds", "training images", RANGES[1]
    live.shown[3].value = shown[3] = False
    chosen = ("training images", "seconds", RANGES[1])
    assert draw(curves, View(tuple(shown), *chosen)) in live.view.value
    live.cursor.value = 40
    place = stops(curves, View(tuple(shown), *chosen))[40]
    assert draw(curves, View(tuple(shown), *chosen, place)) in live.view.value
    assert f"At {place:,} seconds" in live.view.value
    live.none.click()
    assert "No rung is shown: tick one." in live.view.value
    live.all.click()
    assert all(box.value for box in live.shown)
    assert f"At {place:,} seconds" in live.view.value  # the cursor stays where it was
    live.axis.value = "images seen"
    assert "At 48,000 images seen" in live.view.value


@pytest.fixture(params=["recorded", "invented", "with the reader's"])
def page(open_html, tmp_path, curves, request):
    shown = {"recorded": read_ladder(RECORDED), "invented": curves}.get(request.param)
    shown = shown or [*curves[:3], read_own(write_run(tmp_path / "own", seed=7, records=4) / "metrics.csv")]
    tab = open_html(static_html(shown))
    tab.curves = shown
    return tab


def parts(html):
    """All that is drawn and said, so that two pieces of HTML can be compared."""
    soup = BeautifulSoup(html, "html.parser")
    drawn = [(tag.name, tag.get("d"), tag.get("style"), tag.get("class")) for tag in soup.select(".lad-chart *")]
    return drawn, [tag.get_text() for tag in soup.select(".lad-chart span, .lad-title, .lad-words")]


def check(page, *choice, hidden=(), **more):
    view = View(tuple(n not in hidden for n in range(len(page.curves))), *choice, **more)
    assert parts(page.content()) == parts(draw(page.curves, view))
    return view


def test_the_page_shows_the_packages_numbers_whatever_moves_it(page):
    check(page)
    for choice in itertools.product(*(options for _, options in CHOICES.values())):
        for (label, _), option in zip(CHOICES.values(), choice, strict=True):
            page.get_by_label(label).select_option(option)
        view = check(page, *choice)
    places, svg = stops(page.curves, view), page.locator(".lad-chart > svg")
    svg.press("ArrowLeft")
    check(page, *choice, cursor=places[-2])
    svg.press("PageUp")
    check(page, *choice, cursor=places[-1])
    svg.press("Home")
    check(page, *choice, cursor=places[0])
    svg.press("ArrowDown")  # at the end it stays
    check(page, *choice, cursor=places[0])
    page.get_by_label("cursor", exact=True).press("ArrowRight")
    check(page, *choice, cursor=places[1])
    box = svg.bounding_box()
    for share, move in ((0.35, page.mouse.move), (0.6, page.mouse.click)):
        x = share * places[-1]
        move(box["x"] + RIGHT / WIDTH * share * box["width"], box["y"] + 50)
        check(page, *choice, cursor=min(places, key=lambda place: abs(place - x)))


def test_boxes_show_and_hide_by_mouse_and_by_keyboard(page):
    count = len(page.curves)
    last = page.locator("[data-rung]").nth(count - 1)
    last.click()
    check(page, hidden={count - 1})
    page.locator("[data-rung]").first.press("Space")
    check(page, hidden={0} ^ {count - 1})  # where there is one rung, it is back
    page.get_by_role("button", name="hide all").click()
    check(page, hidden=set(range(count)))
    assert page.locator(".lad-words").inner_text() == "No rung is shown: tick one."
    last.click()
    check(page, hidden=set(range(count - 1)))  # the axes fit what is shown
    page.get_by_role("button", name="show all").press("Enter")
    check(page)


def test_it_fits_a_phone_and_a_finger_and_labels_do_not_overlap(page):
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for target in page.locator(".lad-explorer :is(button, select, .lad-boxes label, input[type=range])").all():
        assert target.bounding_box()["height"] >= 24
    root = page.locator(".lad-explorer").bounding_box()
    for option in RANGES:
        page.get_by_label("vertical axis").select_option(option)
        labels = sorted((label.bounding_box() for label in page.locator(".lad-names span").all()), key=lambda box: box["y"])
        assert all(a["y"] + a["height"] <= b["y"] + 0.2 for a, b in itertools.pairwise(labels))
        assert all(box["x"] + box["width"] <= root["x"] + root["width"] for box in labels)
        ticks = [box for box in (t.bounding_box() for t in page.locator(".lad-x span").all()) if box["width"]]
        assert all(a["x"] + a["width"] < b["x"] for a, b in itertools.pairwise(ticks))


def test_two_copies_in_a_page_move_apart(open_html, curves):
    tab = open_html(static_html(curves[:2]), 1280)
    tab.set_content(2 * static_html(curves[:2]))
    assert tab.get_by_label("vertical axis").count() == 2
    tab.get_by_role("button", name="hide all").nth(1).click()
    assert [text.startswith("No rung") for text in tab.locator(".lad-words").all_inner_texts()] == [False, True]

"""What a stranger sees first: the moving picture is what it claims to be, and the words around it agree with the rest."""

import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import pixelcnn_edu as pe
from pixelcnn_edu.runs import read_run
from tools import moving_picture

ROOT = Path(__file__).resolve().parent.parent
README, HOME = ROOT / "README.md", ROOT / "book" / "intro.md"
MOVING, STILL = (moving_picture.OUT / f"moving-picture.{kind}" for kind in ("gif", "png"))
AGAIN = "The weights or the picture's maker have changed: run `python tools/moving_picture.py`, and look at what it makes"


@pytest.fixture(scope="module")
def frames():
    """All frames of the committed file, uint8 (count, height, width, 3), and their milliseconds."""
    with Image.open(MOVING) as file:
        shown = []
        for number in range(file.n_frames):
            file.seek(number)
            shown.append((np.array(file.convert("RGB")), file.info["duration"]))
    pictures, milliseconds = zip(*shown)
    return np.stack(pictures), milliseconds


@pytest.fixture(scope="module")
def made():
    """The images and the probabilities that the picture should show."""
    return moving_picture.draw_images()


def large_and_small(picture):
    """The nine images in a frame, uint8 (9, 3, 32, 32), the large one first; the mark is not taken away."""
    m = moving_picture
    top = m.HEIGHT - m.MARGIN - m.SMALL_SIDE
    places = [(m.MARGIN, m.MARGIN, m.LARGE_SIDE)]
    places += [(top, m.MARGIN + n * (m.SMALL_SIDE + m.SMALL_GAP), m.SMALL_SIDE) for n in range(m.COUNT - 1)]
    cut = []
    for top, left, side in places:
        step = side // 32
        cut.append(picture[top + step // 2 : top + side : step, left + step // 2 : left + side : step])
    return np.stack(cut).transpose(0, 3, 1, 2)


# --- the files -------------------------------------------------------------------------------------------------------


def test_the_picture_is_light_and_stops_by_itself(frames):
    pictures, milliseconds = frames
    assert MOVING.stat().st_size < 400_000
    assert STILL.stat().st_size < 50_000
    assert len(pictures) > 50
    assert sum(milliseconds) < 15_000
    with Image.open(MOVING) as file:
        assert "loop" not in file.info, "a GIF without this entry plays once"


def test_its_last_frame_shows_the_images_that_the_network_draws(frames, made):
    """In float64, where no machine's rounding draws another image."""
    images, large = made[0], moving_picture.LARGE
    expected = torch.cat([images[large : large + 1], images[:large], images[large + 1 :]])
    assert (large_and_small(frames[0][-1]) == expected.numpy()).all(), AGAIN


def test_its_predictions_are_those_from_which_the_pixels_were_drawn(made):
    """They come from one pass over the finished image; here the network is asked when the rest is not there yet."""
    images, probabilities = made
    image = images[moving_picture.LARGE : moving_picture.LARGE + 1]
    model = pe.load_pretrained("cifar10-small").double()
    row, column = 12, 12
    before = image.clone()
    before.flatten(2)[..., row * 32 + column :] = 0
    with torch.no_grad():
        distribution = model.distribution(pe.to_model(before).double()).tempered(moving_picture.TEMPERATURE)
    chosen = image[0, :, row, column].long()
    expected = distribution.log_prob(image, per_channel=True)[0, :, row, column].exp()
    torch.testing.assert_close(probabilities[range(3), chosen, row, column], expected)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(3, 32, 32, dtype=torch.float64))


@pytest.mark.parametrize("place", [0, 30, -1])
def test_a_frame_of_the_file_is_the_one_that_would_be_made_now(frames, made, place):
    """But for some shades of letters, which other versions of Pillow may draw otherwise."""
    counts, milliseconds = zip(*moving_picture.schedule(1024))
    assert milliseconds == frames[1], AGAIN
    differs = (moving_picture.frame(*made, counts[place]) != frames[0][place]).any(axis=2)
    assert differs.mean() < 0.001, AGAIN


def test_the_still_is_a_frame_of_the_picture(frames):
    with Image.open(STILL) as file:
        still = np.array(file.convert("RGB"))
    assert any((still == picture).all() for picture in frames[0]), AGAIN


def test_pixels_appear_in_raster_order_and_none_twice():
    counts = [count for count, _ in moving_picture.schedule(1024)]
    assert counts[:5] == [1, 2, 3, 4, 5]
    assert counts == sorted(set(counts))
    assert counts[-1] == 1024


def test_a_gif_keeps_every_colour(tmp_path):
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (4, 10, 25, 3), dtype=np.uint8)
    pictures[1:, 3:] = pictures[0, 3:]  # what does not change stays
    (tmp_path / "a.gif").write_bytes(moving_picture.gif(pictures, [20, 100, 30, 400]))
    with Image.open(tmp_path / "a.gif") as file:
        for number, duration in enumerate([20, 100, 30, 400]):
            file.seek(number)
            assert (np.array(file.convert("RGB")) == pictures[number]).all()
            assert file.info["duration"] == duration


def test_more_colours_than_a_frame_can_hold_are_refused():
    colours = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    with pytest.raises(ValueError, match="256 colours change at a time"):
        moving_picture.gif(colours, [100])


# --- where it is shown -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("page", "folder"), [(README, "book/_static"), (HOME, "_static")], ids=["README", "home"])
def test_a_page_shows_it_described_and_still_for_those_who_want_no_motion(page, folder):
    text = page.read_text()
    assert re.search(rf'<source media="[^"]*\(prefers-reduced-motion: reduce\)" srcset="{folder}/{STILL.name}">', text)
    alt = re.search(rf'<img src="{folder}/{MOVING.name}"[^>]* alt="([^"]+)">', text)[1]
    assert len(alt) > 80
    assert alt[0].isupper()
    assert alt.endswith(".")


def test_the_home_page_makes_room_for_it_before_it_is_loaded(frames):
    height, width = frames[0].shape[1:3]
    assert f'width="{width}" height="{height}"' in HOME.read_text()


def test_the_home_page_names_the_temperature_of_the_picture():
    assert f"The temperature is {moving_picture.TEMPERATURE};" in HOME.read_text()


def test_the_picture_can_be_stopped_and_played_anew(open_html):
    figure = re.search(r"<figure.*?</figure>", HOME.read_text(), re.DOTALL)[0]
    tab = open_html(figure, reduced_motion="reduce")
    tab.wait_for_function(f"document.querySelector('img').currentSrc.endsWith('{STILL.name}')", timeout=5000)
    for button, file in (("Play from the start", MOVING), ("Stop", STILL)):
        tab.get_by_role("button", name=button).click()
        tab.wait_for_function(f"document.querySelector('img').currentSrc.includes('{file.name}?')", timeout=5000)


# --- the words around it ---------------------------------------------------------------------------------------------


def needed(sentence):
    """The chapters that "1, 3 and 5 to 7" names."""
    numbers = set()
    for first, last in re.findall(r"(\d+)(?: to (\d+))?", sentence):
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers


def test_the_home_page_says_what_each_chapter_says_it_needs():
    lines = re.findall(
        r"^- \{doc\}`(\d+)\. [^<]+<([\w-]+)>`.*?(?:\*Needs ([\d, andto]+?)[.,] *(?:and .*)?\*)?$", HOME.read_text(), re.M
    )
    assert lines
    for number, file, sentence in lines:
        first = nbformat.read(ROOT / "book" / f"{file}.ipynb", as_version=4).cells[0].source
        said = re.search(r"You need chapters? ([\d, andto]+)", first)
        assert needed(sentence) == needed(said[1] if said else ""), f"chapter {number}"


def test_the_readme_cites_the_book_as_the_citation_file_does():
    entry = dict(re.findall(r"^  (\w+) += \{(.+)\},$", README.read_text(), re.MULTILINE))
    entry = {field: value.replace("{", "").replace("}", "") for field, value in entry.items()}
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert entry == {
        "title": citation["title"],
        "author": " and ".join(author["name"] for author in citation["authors"]),
        "year": re.search(r"Copyright \(c\) (\d{4})", (ROOT / "LICENSE").read_text())[1],
        "version": citation["version"],
        "url": citation["repository-code"],
        "license": citation["license"],
    }


def test_the_score_in_the_readme_is_the_recorded_one():
    score = read_run(ROOT / "book" / "runs" / "cifar10-small").metrics["validation_bits_per_dim"][-1]
    assert f"| {score:.2f}, the small model;" in README.read_text()

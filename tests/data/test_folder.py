from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reprbench.data import Dataset
from reprbench.data.folder import decode
from reprbench.errors import UserError
from reprbench.spec import Call

Load = Callable[..., Dataset]


def save(path: Path, pixels: np.ndarray, mode: str | None = None, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)


def some_pixels(seed: int, height: int = 8, width: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three cats and two dogs to train, one of each to test; 8×8, without loss; the seed is in the file's name."""
    folder = tmp_path / "data" / "pets"
    for place in (
        "train/dog/3",
        "train/dog/4",
        "train/cat/2",
        "train/cat/0",
        "train/cat/1",
        "test/dog/6",
        "test/cat/5",
    ):
        save(folder / f"{place}.png", some_pixels(int(place[-1])))
    return folder


def channels_first(seed: int) -> np.ndarray:
    return some_pixels(seed).transpose(2, 0, 1)


def test_classes_and_images_are_in_the_order_of_their_names(load: Load, root: Path) -> None:
    dataset = load("folder", path="pets", image_size=8)
    assert dataset.classes == ("cat", "dog")
    assert dataset.train_labels.tolist() == [0, 0, 0, 1, 1]
    assert np.array_equal(dataset.train.pixels(slice(0, 5)), [channels_first(seed) for seed in range(5)])
    assert np.array_equal(dataset.test.pixels(slice(0, 2)), [channels_first(seed) for seed in (5, 6)])
    assert dataset.unlabeled is dataset.train
    assert dataset.notes == ()


@pytest.mark.parametrize("below", ["", "a/", "a/b/"])
def test_unlabeled_images_may_lie_deeper(load: Load, root: Path, below: str) -> None:
    save(root / "unlabeled" / f"{below}9.png", some_pixels(9))
    (root / "unlabeled" / ".hidden").write_text("no image")
    dataset = load("folder", path="pets", image_size=8)
    assert np.array_equal(dataset.unlabeled.pixels(slice(0, 1))[0], channels_first(9))


def test_name_and_title(load: Load, root: Path) -> None:
    dataset = load("folder", path="pets", image_size=8, title="Pets (PNG)")
    assert (str(dataset.call), dataset.title) == ("folder[image_size=8,path=pets]", "Pets (PNG)")
    # A default that is written out is the same call.
    assert load("folder", path="pets", image_size=32, gray=False).call == Call(
        name="folder", parameters={"path": "pets"}
    )


def test_digest_and_folds_are_those_of_the_content_wherever_it_lies(load: Load, root: Path, tmp_path: Path) -> None:
    first = load("folder", path="pets", image_size=8)
    moved = root.rename(tmp_path / "moved")
    second = load("folder", path=str(moved), image_size=8, cache="other")
    third = load("folder", moved, image_size=8)
    assert first.digest == second.digest == third.digest
    assert all(np.array_equal(a, b) for a, b in zip(first.folds, second.folds, strict=True))
    assert load("folder", moved, image_size=9).digest != first.digest
    (moved / "train" / "cat" / "0.png").rename(moved / "train" / "dog" / "0.png")
    assert load("folder", moved, image_size=8).digest != first.digest


def test_decoded_once_and_again_when_a_file_changes(load: Load, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load("folder", path="pets", image_size=8)
    with monkeypatch.context() as patch:
        patch.setattr("reprbench.data.folder.decode", lambda *_: pytest.fail("decoded again"))
        patch.setattr("reprbench.data.digests.hash_tree", lambda *_: pytest.fail("read again"))
        assert load("folder", path="pets", image_size=8).digest == first.digest
    changed = root / "train" / "cat" / "0.png"
    save(changed, some_pixels(40))
    os.utime(changed, ns=(5, 5))
    again = load("folder", path="pets", image_size=8)
    assert again.digest != first.digest
    assert np.array_equal(again.train.pixels(slice(0, 1))[0], channels_first(40))


def test_more_images_than_one_block(load: Load, tmp_path: Path) -> None:
    for number in range(600):
        save(
            tmp_path / "data" / "train" / "ab"[number % 2] / f"{number:03}.png", np.full((8, 8), number % 256, np.uint8)
        )
    for name in "ab":
        save(tmp_path / "data" / "test" / name / "0.png", np.zeros((8, 8), np.uint8))
    dataset = load("folder", image_size=8, gray=True)
    expected = [number % 256 for half in (0, 1) for number in range(half, 600, 2)]
    assert dataset.train.pixels(slice(0, 600))[:, 0, 7, 7].tolist() == expected


def test_images_that_fit_are_not_resampled(tmp_path: Path) -> None:
    save(tmp_path / "a.png", some_pixels(0, 8, 8))
    assert np.array_equal(decode(tmp_path / "a.png", 8, gray=False), channels_first(0))


@pytest.mark.parametrize(("height", "width"), [(8, 12), (12, 8), (8, 13)])
def test_the_central_square_is_cut_out(tmp_path: Path, height: int, width: int) -> None:
    pixels = some_pixels(0, height, width)
    save(tmp_path / "a.png", pixels)
    top, left = (height - 8) // 2, (width - 8) // 2
    expected = pixels[top : top + 8, left : left + 8].transpose(2, 0, 1)
    assert np.array_equal(decode(tmp_path / "a.png", 8, gray=False), expected)


def test_shrinking_is_antialiased(tmp_path: Path) -> None:
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    save(tmp_path / "a.png", board)
    # Without antialiasing, a finely checkered board gives black, white or moiré; with it, its mean.
    assert np.abs(decode(tmp_path / "a.png", 8, gray=True).astype(int) - 127).max() <= 4


def test_constant_images_stay_constant_at_every_size(tmp_path: Path) -> None:
    save(tmp_path / "a.png", np.full((37, 50, 3), (10, 200, 77), np.uint8))
    for size in (8, 32, 100):
        pixels = decode(tmp_path / "a.png", size, gray=False)
        assert pixels.shape == (3, size, size)
        assert np.array_equal(np.unique(pixels.reshape(3, -1), axis=1).ravel(), [10, 200, 77])


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK"])
@pytest.mark.parametrize("gray", [False, True])
def test_any_mode_becomes_rgb_or_gray(tmp_path: Path, mode: str, gray: bool) -> None:
    white = np.full((8, 8, 3), 255, np.uint8)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    save(path, white, mode)
    pixels = decode(path, 8, gray)
    assert pixels.shape == ((1, 8, 8) if gray else (3, 8, 8))
    assert pixels.min() == 255


def test_transparency_is_dropped(tmp_path: Path) -> None:
    pixels = np.dstack([some_pixels(0), np.zeros((8, 8), np.uint8)])
    save(tmp_path / "a.png", pixels)
    assert np.array_equal(decode(tmp_path / "a.png", 8, gray=False), channels_first(0))


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    save(tmp_path / "a.png", values)
    assert np.array_equal(decode(tmp_path / "a.png", 8, gray=True)[0], np.round(values / 257))


def test_exif_orientation_is_followed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90° clockwise
    save(tmp_path / "a.png", some_pixels(0), exif=exif)
    expected = np.rot90(some_pixels(0), -1).transpose(2, 0, 1)
    assert np.array_equal(decode(tmp_path / "a.png", 8, gray=False), expected)


def test_gray_is_luminance(tmp_path: Path) -> None:
    save(tmp_path / "a.png", np.full((8, 8, 3), (255, 0, 0), np.uint8))
    assert np.unique(decode(tmp_path / "a.png", 8, gray=True)).tolist() == [76]  # 0.299 · 255, ITU-R 601


@pytest.mark.parametrize("damage", ["text", "empty", "cut", "float"])
def test_unreadable_images_are_named(load: Load, root: Path, tmp_path: Path, damage: str) -> None:
    bad = root / "train" / "dog" / "4.png"
    content = bad.read_bytes()
    bad.write_bytes({"text": b"hello", "empty": b"", "cut": content[:90], "float": b""}[damage])
    if damage == "float":
        bad = bad.with_suffix(".tif")
        save(bad, np.zeros((8, 8), np.float32))
        bad.with_suffix(".png").unlink()
    with pytest.raises(UserError, match=f"{bad.name}: not readable as an image"):
        load("folder", path="pets", image_size=8)
    assert not list((tmp_path / "cache" / "decoded").rglob("train*"))  # nothing half-written


def test_classes_must_be_the_same(load: Load, root: Path) -> None:
    save(root / "test" / "bird" / "0.png", some_pixels(0))
    (root / "train" / "cat").rename(root / "train" / "tiger")
    with pytest.raises(UserError, match=r"train alone has tiger; test alone has bird, cat; expected the same"):
        load("folder", path="pets", image_size=8)


def test_empty_class_folders_are_named(load: Load, root: Path) -> None:
    (root / "test" / "cat" / "5.png").rename(root / "test" / "cat" / ".5.png")
    with pytest.raises(UserError, match=r"test/cat: no images"):
        load("folder", path="pets", image_size=8)


def test_empty_unlabeled_folder_is_named(load: Load, root: Path) -> None:
    (root / "unlabeled").mkdir()
    with pytest.raises(UserError, match=r"unlabeled: no images; expected at least one, or no such folder"):
        load("folder", path="pets", image_size=8)


def test_missing_folders_are_named(load: Load, root: Path) -> None:
    with pytest.raises(UserError, match=r"has no folder 'train'; expected a folder with train/<class>/\*"):
        load("folder")
    (root / "test").rename(root / "other")
    with pytest.raises(UserError, match="has no folder 'test'"):
        load("folder", path="pets")
    with pytest.raises(UserError, match=r"'nowhere' not found; searched .*data/nowhere"):
        load("folder", path="nowhere")


def test_a_single_class_is_refused(load: Load, root: Path) -> None:
    for split in ("train", "test"):
        (root / split / "dog").rename(root / f"former {split} dogs")
    with pytest.raises(UserError, match="expected at least two"):
        load("folder", path="pets", image_size=8)


# -- without a test folder ---------------------------------------------------------------------------------------------


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """Ten cats and five dogs."""
    folder = tmp_path / "data" / "pets"
    for seed in range(15):
        save(folder / ("cat" if seed < 10 else "dog") / f"{seed:02}.png", some_pixels(seed))
    return folder


def test_a_test_split_is_drawn_by_class_and_is_the_same_for_everybody(load: Load, whole: Path) -> None:
    dataset = load("folder", path="pets", image_size=8, split=0.8)
    assert dataset.classes == ("cat", "dog")
    assert np.bincount(dataset.train_labels).tolist() == [8, 4]
    assert np.bincount(dataset.test_labels).tolist() == [2, 1]
    both = np.concatenate([one.pixels(slice(None)) for one in (dataset.train, dataset.test)])
    assert {image.tobytes() for image in both} == {channels_first(seed).tobytes() for seed in range(15)}
    drawn = [next(seed for seed in range(15) if np.array_equal(channels_first(seed), image)) for image in both[12:]]
    assert drawn == [1, 3, 12]
    assert load("folder", path="pets", image_size=8, split=0.8, cache="other").digest == dataset.digest
    assert load("folder", path="pets", image_size=8, split=0.7).digest != dataset.digest
    assert str(dataset.call) == "folder[image_size=8,path=pets,split=0.8]"
    # It is the data of folders that have been split by hand.
    for place, seeds in (("train", set(range(15)) - set(drawn)), ("test", drawn)):
        for seed in seeds:
            save(whole.parent / "split" / place / ("cat" if seed < 10 else "dog") / f"{seed:02}.png", some_pixels(seed))
    assert load("folder", path="split", image_size=8).digest == dataset.digest


def test_the_classes_may_lie_in_a_train_folder_beside_unlabeled_images(load: Load, whole: Path) -> None:
    alone = load("folder", path="pets", image_size=8, split=0.8)
    (whole / "train").mkdir()
    for name in ("cat", "dog"):
        (whole / name).rename(whole / "train" / name)
    assert load("folder", path="pets", image_size=8, split=0.8).digest == alone.digest
    save(whole / "unlabeled" / "9.png", some_pixels(9))
    assert len(load("folder", path="pets", image_size=8, split=0.8).unlabeled) == 1
    (whole / "train" / "cat").rename(whole / "cat")
    (whole / "train" / "dog").rename(whole / "dog")
    (whole / "train").rmdir()
    assert load("folder", path="pets", image_size=8, split=0.8).classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (0.99, "split=0.99 of 15 images leaves a class without images for training or test"),
        (0.05, "split=0.05 of 15 images leaves a class"),
        (1, "split: Input should be less than 1"),
        (0, "split: Input should be greater than 0"),
        (None, "has no folder 'train'; expected .* split=0.8 draws a test split from the classes' folders"),
    ],
)
def test_shares_that_leave_nothing_are_mistakes(load: Load, whole: Path, split: float | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load("folder", path="pets", image_size=8, split=split)


def test_a_test_folder_is_not_ignored(load: Load, root: Path) -> None:
    with pytest.raises(UserError, match=r"pets has a folder 'test'; leave out split=0.8"):
        load("folder", path="pets", split=0.8)


# -- files that are no images ------------------------------------------------------------------------------------------


def test_unreadable_files_are_skipped_and_named_if_that_is_asked_for(load: Load, root: Path, monkeypatch: Any) -> None:
    good = load("folder", path="pets", image_size=8)
    (root / "train" / "cat" / "Thumbs.db").write_text("no image")
    (root / "test" / "dog" / "cut.png").write_bytes((root / "test" / "dog" / "6.png").read_bytes()[:60])
    with pytest.raises(UserError, match=r"Thumbs.db: not readable as an image"):
        load("folder", path="pets", image_size=8)
    for _ in range(2):
        skipped = load("folder", path="pets", image_size=8, on_error="skip")
        assert skipped.digest == good.digest
        assert skipped.notes == (
            "2 files skipped that are not readable as images: test/dog/cut.png, train/cat/Thumbs.db",
        )
        # The second time it is known which they are.
        monkeypatch.setattr("reprbench.data.folder.unreadable", lambda *_: pytest.fail("looked again"))


def test_a_class_of_unreadable_files_is_a_mistake(load: Load, root: Path) -> None:
    for path in (root / "train" / "dog").iterdir():
        path.write_text("no image")
    with pytest.raises(UserError, match=r"train/dog: none of its 2 files is readable as an image"):
        load("folder", path="pets", image_size=8, on_error="skip")


def test_many_skipped_files_are_counted(load: Load, root: Path) -> None:
    for number in range(30):
        (root / "train" / "dog" / f"{number}.txt").write_text("no image")
    (note,) = load("folder", path="pets", image_size=8, on_error="skip").notes
    assert note.startswith("30 files skipped")
    assert note.endswith(" and 10 more")


# -- transparency ------------------------------------------------------------------------------------------------------


def half_transparent(path: Path, mode: str) -> None:
    """Write a black image whose left half is transparent."""
    alpha = np.full((8, 8), 255, np.uint8)
    alpha[:, :4] = 0
    image = Image.merge("LA", [Image.new("L", (8, 8)), Image.fromarray(alpha)])
    path.parent.mkdir(parents=True, exist_ok=True)
    if mode == "P":
        Image.fromarray((alpha == 0).astype(np.uint8)).convert("P").save(path, transparency=1)
    else:
        image.convert(mode).save(path)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
@pytest.mark.parametrize("gray", [False, True])
def test_transparent_images_are_put_on_the_background(tmp_path: Path, mode: str, gray: bool) -> None:
    half_transparent(tmp_path / "a.png", mode)
    for background, value in (("white", 255), ("#808080", 128), ("black", 0)):
        pixels = decode(tmp_path / "a.png", 8, gray, background)
        assert np.unique(pixels[:, :, :4]).tolist() == [value]
        assert np.unique(pixels[:, :, 4:]).tolist() == [0]
    assert np.unique(decode(tmp_path / "a.png", 8, gray)[:, :, 4:]).tolist() == [0]


def test_the_background_is_part_of_the_data(load: Load, root: Path) -> None:
    before = load("folder", path="pets", image_size=8)
    # It makes no difference to opaque images.
    assert load("folder", path="pets", image_size=8, background="white").digest == before.digest
    half_transparent(root / "train" / "cat" / "0.png", "RGBA")
    found = {load("folder", path="pets", image_size=8, background=one).digest for one in (None, "white", "red")}
    assert len(found) == 3
    with pytest.raises(UserError, match="background: expected a color like white or #f0f0f0, not 'whyte'"):
        load("folder", path="pets", background="whyte")

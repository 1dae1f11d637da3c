"""ImageBlock: pictures to batches and back."""

import json

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from burnish.data.config import from_config
from burnish.data.reader import Reader
from burnish.errors import DataError, SettingError
from burnish.vision.blocks import ImageBlock
from burnish.vision.image import PILImage, PILImageBW

matplotlib.use("Agg")


def noise(width=20, height=14, mode="RGB", seed=0):
    shape = {"RGB": (height, width, 3), "L": (height, width), "RGBA": (height, width, 4)}[mode]
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


@pytest.mark.parametrize("mode, channels", [("RGB", 3), ("L", 1), ("RGBA", 4)])
def test_there_and_back(mode, channels):
    block, images = ImageBlock(mode), [noise(mode=mode, seed=s) for s in range(3)]
    encoded = [block.encode(i) for i in images]
    assert encoded[0].dtype == torch.uint8 and encoded[0].shape == (channels, 14, 20) and block.channels == channels
    batch = block.collate(encoded)
    assert batch.shape == (3, channels, 14, 20) and batch.is_contiguous(memory_format=torch.channels_last)
    finished = block.on_device()(batch)
    assert finished.dtype == torch.float32 and finished.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(finished, batch.float() / 255)
    for image, x in zip(images, finished, strict=True):
        assert block.decode(x).mode == mode and (np.asarray(block.decode(x)) == np.asarray(image)).all()


def test_encode_shares_the_pixels_memory_layout():
    encoded = ImageBlock().encode(noise())
    assert encoded.permute(1, 2, 0).is_contiguous()


@pytest.mark.parametrize("given, mode", [(("L",), "L"), ((PILImageBW,), "L"), ((PILImage,), "RGB"), ((), "RGB")])
def test_modes_and_familiar_classes(given, mode):
    block = ImageBlock(*given)
    again = from_config(json.loads(json.dumps(block.config())))
    assert block.mode == again.mode == mode and repr(again) == repr(block)
    assert ImageBlock(cls=PILImageBW).mode == "L"


def test_white_is_kept_with_the_block_and_used():
    block = from_config(json.loads(json.dumps(ImageBlock("L", white=4095).config())))
    assert block.white == 4095 and repr(block) == "ImageBlock(mode='L', white=4095)"
    twelve_bits = np.full((4, 4), 4095, np.uint16)
    assert block.encode(block.open(twelve_bits)).unique().tolist() == block.encode(twelve_bits).unique().tolist() == [255]
    settings = [Reader([ImageBlock("L", white=white)], [], train=False).settings() for white in (4095, 65535)]
    assert settings[0] != settings[1], "the cache must tell them apart"
    assert from_config({k: v for k, v in ImageBlock().config().items() if k != "white"}).white == 65535, "of an older model file"


@pytest.mark.parametrize("bad", ["rgb", int, 3])
def test_bad_mode(bad):
    with pytest.raises(SettingError, match=r"'RGB'"):
        ImageBlock(bad)


def test_unequal_sizes_name_the_sizes_and_the_cure():
    block = ImageBlock()
    with pytest.raises(DataError, match=r"20x14, 30x14.*Resize\(224\)"):
        block.collate([block.encode(noise(20)), block.encode(noise(30))])


def test_tensors_from_item_transforms():
    block = ImageBlock()
    floats = torch.rand(3, 5, 6)
    assert block.encode(floats).dtype == torch.float32
    batch = block.collate([floats, floats])
    assert torch.equal(block.on_device()(batch), batch), "floats stay as they are"
    with pytest.raises(DataError, match="uint8"):
        block.collate([floats, block.encode(noise(6, 5))])
    assert block.encode(np.zeros((5, 6, 3), np.uint8)).shape == (3, 5, 6)
    assert block.encode(noise(mode="L")).shape == (3, 14, 20)


@pytest.mark.parametrize("value, words", [(torch.zeros(1, 5, 5), "(1, 5, 5)"), ("a.jpg", "str")])
def test_encode_refuses(value, words):
    with pytest.raises(DataError) as e:
        ImageBlock().encode(value)
    assert words in str(e.value) and "(3, height, width)" in str(e.value)


def test_check_names_rows_without_pictures_and_missing_files(tmp_path):
    noise().save(tmp_path / "a.png")
    ImageBlock().check([tmp_path / "a.png", b"...", noise()], [0, 1, 2], "train")
    with pytest.raises(DataError, match=r"1 row.*train split.*row 1"):
        ImageBlock().check([tmp_path / "a.png", float("nan")], ["row 0", "row 1"], "train")
    with pytest.raises(FileNotFoundError, match=r"1 of 2 pictures.*b\.png"):
        ImageBlock().check([tmp_path / "a.png", tmp_path / "b.png"], [0, 1], "valid")


def test_decode_clips_and_survives_nan():
    x = torch.tensor([-1.0, 0.5, 2.0, float("nan")]).reshape(1, 2, 2).expand(3, 2, 2)
    assert np.asarray(ImageBlock().decode(x))[..., 0].ravel().tolist() == [0, 128, 255, 0]
    assert ImageBlock().decode(x.bfloat16()).size == (2, 2)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_draw(mode):
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    ImageBlock(mode).draw(noise(mode=mode), ax, title="a title")
    shown = ax.images[0]
    assert ax.get_title() == "a title" and not ax.axison
    assert (np.asarray(shown.get_array()) == np.asarray(noise(mode=mode))).all()
    if mode == "L":
        assert shown.get_cmap().name == "gray" and shown.get_clim() == (0, 255)
    plt.close(fig)


def test_open_takes_a_size_hint(tmp_path):
    noise(800, 600).save(tmp_path / "a.jpg")
    assert ImageBlock().open(tmp_path / "a.jpg", size_hint=lambda _: (90, 70)).size == (100, 75)


@pytest.mark.parametrize("n", [1, 3])
def test_batches_are_channels_last(n):
    block = ImageBlock()
    items = [block.encode(noise(seed=s)) for s in range(n)]
    for given in (items, [item.contiguous() for item in items]):  # as encoded, and as a transform may have laid it out
        batch = block.collate(given)
        assert batch.is_contiguous(memory_format=torch.channels_last) and torch.equal(batch, torch.stack(items))


@pytest.mark.parametrize("n", [1, 3])
def test_on_device_turns_bytes_into_exact_fractions(n):
    """Every byte as byte / 255 in float32, in the batch's own memory layout; floats stay as they are."""
    x = torch.arange(256, dtype=torch.uint8).repeat(n, 3, 1, 1).contiguous(memory_format=torch.channels_last)
    done = ImageBlock().on_device()(x)
    assert torch.equal(done, x.float() / 255) and done.dtype == torch.float32
    assert done.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(ImageBlock().on_device()(done), done)

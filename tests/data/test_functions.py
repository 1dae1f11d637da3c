"""Plain functions among the item transforms: what their code tells, where they run, and one seed for the same run."""

from __future__ import annotations

import math
import random
from random import choice

import numpy as np
import pytest
import torch
from numpy import add, flip
from numpy.random import rand
from PIL import Image, ImageFilter, ImageOps
from torch import nn
from torchvision import transforms as T
from torchvision.transforms import v2

from burnish.data.category import CategoryBlock
from burnish.data.datablock import DataBlock
from burnish.data.foreign import as_batch_transform, as_item_transform
from burnish.data.functions import code_of, draws_nothing
from burnish.data.notes import captured_notes
from burnish.data.split import IndexSplitter
from burnish.data.transforms import ItemTransform
from burnish.train.learner import Learner
from burnish.vision.blocks import ImageBlock
from burnish.vision.transforms import Resize

SMOOTH = Image.Resampling.BILINEAR


def helper(image):
    return image


def drawing(image):
    return image.rotate(random.random() * 90 + np.random.rand() * 90 + float(torch.rand(())) * 90, SMOOTH)


class Drawing(v2.Transform):
    """As torchvision's manual says to write one, and drawing from python and numpy besides."""

    def make_params(self, flat_inputs):
        return {"angle": float(torch.rand(())) * 90 + random.random() * 90 + np.random.rand() * 90}

    def transform(self, inpt, params):
        return inpt.rotate(params["angle"], SMOOTH)


TURN, TABLE, BLUR = 90, np.arange(256, dtype=np.uint8), ImageFilter.GaussianBlur(2)
VECTOR, UFUNC, HELD = np.vectorize(choice), np.frompyfunc(choice, 1, 1), np.array([choice], dtype=object)
CALM = [
    lambda im: im.convert("L").convert("RGB"), lambda im: Image.fromarray(np.asarray(im) // 2), lambda im: ImageOps.autocontrast(im),
    lambda im: im.rotate(TURN), lambda im, k=3: next(im.rotate(k * math.pi) for _ in range(2)),
    lambda im: Image.fromarray(TABLE[np.asarray(im)]), lambda im: im.filter(BLUR), lambda im: Image.fromarray(flip(add(im, 1))),
]  # fmt: skip
IN_DOUBT = [
    drawing, lambda im: im.rotate(random.random()), lambda im: im.rotate(np.random.rand()), lambda im: rand(), lambda im: choice([im]),
    lambda im, pick=choice: pick([im]), lambda im: helper(im), lambda im: getattr(im, "x"), lambda im: [rand() for _ in range(2)],  # noqa: B009
    lambda im: im.normal_(), lambda im: undefined(im), lambda im: im.effect_noise((2, 2), 1), helper.__call__, nn.Dropout(),  # noqa: F821
    lambda im: VECTOR(im), lambda im: UFUNC(im), lambda im: HELD[0](im),
]  # fmt: skip


def test_what_code_tells():
    assert all(map(draws_nothing, CALM)) and not any(map(draws_nothing, IN_DOUBT))
    assert "flat_inputs" in code_of(Drawing) and "make_params" not in code_of(int)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(40):
        Image.fromarray(rng.integers(0, 255, (30, 30, 3), dtype=np.uint8)).save(path / f"{i:02}_{'ab'[i % 2]}.png")
    return path


def make(folder, function, **settings):
    block = DataBlock(
        (ImageBlock, CategoryBlock),
        splitter=IndexSplitter(range(32, 40)),
        get_y=lambda f: f.stem[-1],
        item_tfms=[Resize(16, method="squish"), function],
    )
    return block.dataloaders(sorted(folder.glob("*.png")), **{"bs": 4, "num_workers": 2, "seed": 0, "device": "cpu", **settings})


def trained(folder, function):
    """The weights after training with dropout, which draws from the global generator while the threads read ahead."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 16), nn.Dropout(0.5), nn.Linear(16, 2))
    with captured_notes():
        Learner(make(folder, function), model, seed=0).fit(2)
    return torch.cat([p.detach().flatten() for p in model.parameters()])


USERS = [
    lambda im: im.convert("L").convert("RGB"),
    lambda im: helper(im).convert("L").convert("RGB"),
    drawing,
    Drawing(),
    v2.Lambda(drawing),
]


@pytest.mark.parametrize("function", USERS, ids=["calm", "in doubt", "drawing", "v2.Transform", "v2.Lambda"])
def test_one_seed_gives_the_same_weights_with_a_users_function(folder, function):
    first, *others = [trained(folder, function) for _ in range(3)]
    assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("function", [drawing, Drawing(), v2.Lambda(drawing)], ids=["function", "v2.Transform", "v2.Lambda"])
def test_what_draws_in_validation_is_seeded_for_the_sample(folder, function):
    dls = make(folder, function)
    one, two = (torch.cat([x for x, _ in dls.valid]) for _ in range(2))
    assert torch.equal(one, two), "every pass is the same"
    assert torch.equal(one, torch.cat([x for x, _ in make(folder, function, num_workers=0, bs=3).valid])), "however it is read"


def test_a_single_sample_is_what_the_pass_gave(folder):
    dls = make(folder, drawing)
    passed = torch.cat([x for x, _ in dls.valid])
    assert torch.equal(dls.valid.sample(33)[0] / 255, passed[1])


@pytest.mark.parametrize("function", [drawing, Drawing(), v2.Lambda(drawing)], ids=["function", "v2.Transform", "v2.Lambda"])
@pytest.mark.parametrize("train", [True, False])
def test_every_sample_gets_a_draw_of_its_own(tmp_path, function, train):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8))
    for i in range(40):
        picture.save(tmp_path / f"{i:02}_{'ab'[i % 2]}.png")
    dls = make(tmp_path, function)
    pictures = torch.cat([x for x, _ in (dls.train if train else dls.valid)])
    assert len({p.numpy().tobytes() for p in pictures}) == len(pictures), "one picture in many files, turned differently"


def test_a_transform_of_the_users_may_say_that_it_draws_globally(folder):
    class Turned(ItemTransform):
        draws_globally = True

        def apply(self, values, rng):
            return (drawing(values[0]), *values[1:])

    one, two = (torch.cat([x for x, _ in make(folder, Turned()).valid]) for _ in range(2))
    assert torch.equal(one, two)


def test_calm_functions_are_read_by_the_threads_and_others_by_the_caller(folder):
    assert not make(folder, CALM[0]).train.reader.held and len(make(folder, drawing).train.reader.held) == 1
    for wrapped in (v2.Lambda, lambda f: v2.Compose([v2.Grayscale(3), f])):
        assert not make(folder, wrapped(CALM[0])).train.reader.held and len(make(folder, wrapped(drawing)).train.reader.held) == 1


# -- the user's code in torchvision's wrappings -----------------------------------------------------------------------
class Shifted(v2.RandomRotation):
    """Derived from one of torchvision's that is nothing but chance."""


class Cropped(v2.RandomResizedCrop):
    """Derived from one of torchvision's whose size counts in validation too."""


class RandomCrop(v2.Transform):
    """The user's own, called like one of torchvision's."""

    def transform(self, inpt, params):
        return inpt.crop((0, 0, 12, 12))


@pytest.mark.parametrize("cache", [True, "folder"])
@pytest.mark.parametrize("function", [T.Lambda(drawing), v2.Lambda(drawing, Image.Image), Drawing()], ids=["T", "v2", "class"])
def test_the_cache_does_not_freeze_what_the_user_wrote(folder, tmp_path, function, cache):
    dls = make(folder, function, shuffle=False, cache=cache if cache is True else tmp_path / cache)
    epochs = [torch.cat([x for x, _ in dls.train]) for _ in range(3)]
    assert dls.train.reader.cache.hits and not torch.equal(epochs[0], epochs[1]) and not torch.equal(epochs[1], epochs[2])


def test_a_changed_lambda_is_not_served_what_the_old_one_made(folder, tmp_path):
    one, two = (
        torch.cat([x for x, _ in make(folder, v2.Lambda(f, Image.Image), cache=tmp_path / "kept").valid])
        for f in (lambda im: im.rotate(0), lambda im: im.rotate(180))
    )
    assert torch.equal(one, two.flip(2, 3))


def test_the_users_code_does_not_see_the_label(folder):
    seen = set()

    def note_type(value):
        seen.add(type(value))
        return value

    list(make(folder, [v2.Lambda(note_type), T.Lambda(note_type), v2.Compose([v2.Grayscale(3), v2.Lambda(note_type)])]).train)
    assert seen == {Image.Image}


def test_of_torchvisions_classes_and_the_users_it_is_known_which_run_in_validation():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8))
    for transform, runs in [(Shifted(90), False), (v2.RandomInvert(1.0), False), (v2.RandomApply([v2.Lambda(ImageOps.invert)], 1.0), False),
                            (v2.Lambda(ImageOps.invert), True), (v2.Compose([v2.RandomInvert(1.0), v2.Lambda(ImageOps.flip)]), True)]:  # fmt: skip
        out = as_item_transform(transform).apply((image,), None)[0]
        assert (np.asarray(out) != np.asarray(image)).any() == runs, transform


@pytest.mark.parametrize(
    "crop",
    [Cropped(12), *(kit.Compose([make, c(12)]) for kit, make in ((T, T.ToTensor()), (v2, v2.PILToTensor())) for c in (kit.RandomCrop, kit.RandomResizedCrop))],
)  # fmt: skip
def test_a_random_crop_gives_its_size_in_validation_too(crop):
    for rng in (random.Random(0), None):
        out = as_item_transform(crop).apply((Image.new("RGB", (40, 30)), "a"), rng)
        assert (tuple(out[0].shape[1:]) if isinstance(out[0], torch.Tensor) else out[0].size) == (12, 12) and out[1] == "a"


def test_a_crop_of_the_users_called_like_torchvisions_is_chance():
    image = Image.new("RGB", (40, 30))
    assert as_item_transform(RandomCrop()).apply((image,), None)[0] is image


def test_a_tensor_that_a_transform_made_of_the_picture_is_the_picture():
    image = Image.new("RGB", (16, 16), (255, 0, 0))
    made = as_item_transform(T.ToTensor()).apply((image, "a"), None)
    normal = as_item_transform(T.Normalize([0.5] * 3, [0.5] * 3)).apply(made, None)
    assert normal[0].unique().tolist() == [-1, 1] and normal[1] == "a"


def test_as_batch_transform_the_users_class_draws_for_each_picture():
    class Noise(v2.Transform):
        def make_params(self, flat_inputs):
            return {"noise": torch.rand(())}

        def transform(self, inpt, params):
            return inpt + params["noise"]

    out = as_batch_transform(Noise()).apply([torch.zeros(6, 3, 4, 4)], ["image"], torch.Generator().manual_seed(0))[0]
    assert len(out.unique()) == 6


@pytest.mark.parametrize("cls", [T.RandomChoice, T.RandomOrder])
def test_the_older_choices_which_draw_from_python_are_seeded(folder, cls):
    turns = cls([T.Lambda(lambda im: im.rotate(90)), T.Lambda(ImageOps.flip), T.Lambda(ImageOps.mirror), T.Grayscale(3)])
    state = random.getstate()
    one, two = (torch.cat([x for x, _ in make(folder, turns, cache=False).train]) for _ in range(2))
    assert torch.equal(one, two) and random.getstate() == state


def shaded(x):
    return x * random.random() + np.random.rand() + torch.rand(x.shape)


class Shaded(v2.Transform):
    def transform(self, inpt, params):
        return shaded(inpt)


BATCHES = [shaded, T.RandomChoice([T.RandomHorizontalFlip(1.0), T.RandomVerticalFlip(1.0)]), v2.Lambda(shaded), Shaded()]


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("transform", BATCHES, ids=["function", "RandomChoice", "v2.Lambda", "v2.Transform"])
def test_batch_transforms_follow_the_seed_and_leave_the_users_generators(transform, train):
    x, outs = torch.rand(8, 3, 8, 8), []
    for seed in (1, 2):
        torch.manual_seed(seed), np.random.seed(seed), random.seed(seed)
        before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
        outs.append(as_batch_transform(transform).apply([x], ["image"], torch.Generator().manual_seed(0) if train else None)[0])
        assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    assert torch.equal(*outs)
    if train:
        assert not torch.equal(outs[0], as_batch_transform(transform).apply([x], ["image"], torch.Generator().manual_seed(1))[0])

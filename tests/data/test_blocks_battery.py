"""The common battery: every registered block opens, encodes, collates, decodes, draws, and survives a config round trip.

A new block joins by adding an entry to SAMPLES; a block without one fails `test_every_block_is_in_the_battery`.
"""

from __future__ import annotations

import json
import pickle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import burnish.collab.implicit
import burnish.collab.rating
import burnish.data.category
import burnish.data.multicategory
import burnish.data.number
import burnish.tabular.blocks
import burnish.tabular.row
import burnish.vision.blocks
import burnish.vision.boxes
import burnish.vision.masks
import burnish.vision.points  # noqa: F401  (they register their blocks)
from burnish.collab.ids import IdFeature
from burnish.data.block import Block
from burnish.data.config import Configurable, from_config
from burnish.tabular.features import CategoryFeature, NumberFeature


def _picture(i: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(i).integers(0, 255, (24, 32, 3), dtype=np.uint8))


def _mask(i: int) -> np.ndarray:
    return np.random.default_rng(i).integers(0, 3, (6, 8), dtype=np.uint8)


# name: (block, raw training cells, a raw cell that must be refused)
SAMPLES = {
    "BBoxBlock": (
        lambda cls: cls(units="fraction"),
        [[[0.25, 0.5, 0.75, 1.0]], [], [[0.0, 0.0, 1.0, 1.0], [0.5, 0.25, 0.75, 0.5]]],
        [[0.5, 0.5, 0.25, 0.75]],
    ),
    "BBoxLblBlock": (
        lambda cls: cls(units="fraction"),
        [([[0.25, 0.5, 0.75, 1.0]], ["b"]), ([], []), ([[0.0, 0.0, 1.0, 1.0], [0.5, 0.25, 0.75, 0.5]], ["a", "b"])],
        ([[0.25, 0.5, 0.75, 1.0]], ["never seen"]),
    ),
    "CategoryBlock": (lambda cls: cls(), ["b", "a", "b"], "never seen"),
    "CategoriesBlock": (
        lambda cls: cls([CategoryFeature("colour"), CategoryFeature("doors")]),
        [{"colour": "red", "doors": 3}, {"colour": "blue", "doors": 5}, {"colour": "red", "doors": 5}],
        "no row",
    ),
    "NumbersBlock": (
        lambda cls: cls([NumberFeature("weight", mean=2.0, std=4.0)]),
        [{"weight": 1.5}, {"weight": -3.0}, {"weight": 1000.25}],
        {"weight": "heavy"},
    ),
    "PairsBlock": (
        lambda cls: cls([IdFeature("user"), IdFeature("film")]),
        [{"user": 3, "film": "a"}, {"user": 5, "film": "b"}, {"user": 3, "film": "b"}],
        "no row",
    ),
    "RowBlock": (
        lambda cls: cls(cat_names=["colour"], cont_names=["weight"]),
        [{"colour": "red", "weight": 1.5}, {"colour": "blue", "weight": -3.0}, {"colour": "red", "weight": 4.5}],
        {"colour": "red", "weight": "heavy"},
    ),
    "InteractionBlock": (lambda cls: cls(), [1.0, 1.0, 1.0], 0),
    "MaskBlock": (lambda cls: cls(codes=["sky", "sea", "sand"]), [_mask(0), _mask(1), _mask(2)], np.full((6, 8), 7)),
    "MultiCategoryBlock": (lambda cls: cls(), [["b", "a"], [], ["a", "c"]], ["never seen"]),
    "PointBlock": (
        lambda cls: cls(units="fraction"),
        [np.array([[0.25, 0.5]]), np.array([[0.0, 1.0]]), np.array([[0.75, 0.125]])],
        [[0.5, 7.0]],
    ),
    "RatingBlock": (lambda cls: cls(), [1.0, 2.0, 5.0], "no number"),
    "RegressionBlock": (lambda cls: cls(), [1.5, -2.0, 1000.0], "no number"),
    "ImageBlock": (lambda cls: cls(), [_picture(0), _picture(1), _picture(2)], b"no picture"),
}
BLOCKS = {
    name: cls
    for name, cls in Configurable._registry.items()
    if issubclass(cls, Block)
    and cls is not Block
    and cls.kind != "value"
    and not name.startswith("user:")
    and not cls.__module__.startswith(
        "burnish.compat."
    )  # adapters: they hold a loader of pipelines, and are no kinds of data (tests/compat)
}


def test_every_block_is_in_the_battery():
    assert set(BLOCKS) == set(SAMPLES)


@pytest.fixture(params=sorted(SAMPLES))
def case(request):
    make, raws, bad = SAMPLES[request.param]
    block = make(BLOCKS[request.param])
    block.fit(raws)
    return block, raws, bad


def _finished(block, raws):
    batch = block.collate([block.encode(block.open(r)) for r in raws])
    module = block.on_device()
    return module(batch) if module is not None else batch


def test_a_batch_has_one_row_a_sample(case):
    block, raws, _ = case
    batch = _finished(block, raws)
    assert isinstance(batch, torch.Tensor) and len(batch) == len(raws)


def test_encoding_is_plain_tensors_and_repeatable(case):
    block, raws, _ = case
    first, second = block.encode(block.open(raws[0])), block.encode(block.open(raws[0]))
    assert type(first) is torch.Tensor and torch.equal(first, second)


def test_decode_gives_back_what_was_encoded(case):
    block, raws, _ = case
    for i, raw in enumerate(raws):
        decoded = block.decode(_finished(block, raws)[i])
        if block.kind == "boxes":
            boxes, labels = raw if isinstance(raw, tuple) else (raw, ["object"] * len(raw))
            assert np.array_equal(decoded.boxes, np.reshape(boxes, (-1, 4))) and decoded.labels == labels and decoded.scores is None
        elif isinstance(raw, np.ndarray):
            assert np.array_equal(decoded, raw)
        elif isinstance(raw, Image.Image):
            assert np.abs(np.asarray(decoded, dtype=float) - np.asarray(raw, dtype=float)).max() <= 1
        else:
            assert decoded == (sorted(raw) if isinstance(raw, list) else raw)


def test_it_draws(case):
    block, raws, _ = case
    fig, ax = plt.subplots()
    block.draw(block.decode(_finished(block, raws)[0]), ax)
    assert ax.images or ax.collections or ax.patches or ax.get_title()
    plt.close(fig)


def test_config_is_json_and_rebuilds_it(case):
    block, raws, _ = case
    again = from_config(json.loads(json.dumps(block.config())))
    assert again.config() == block.config()
    assert torch.equal(again.encode(again.open(raws[0])), block.encode(block.open(raws[0])))


def test_many_at_once_are_encoded_as_one_by_one(case):
    block, raws, _ = case
    one_by_one = block.collate([block.encode(block.open(raw)) for raw in raws])
    several = [raws, pd.DataFrame(raws)] if isinstance(raws[0], dict) else [raws]
    for given in several:
        together = block.encode_all(given)
        assert torch.equal(together, one_by_one) and together.dtype == one_by_one.dtype


def test_it_pickles_small(case):
    block, raws, _ = case
    data = pickle.dumps(block)
    assert len(data) < 10_000
    assert torch.equal(pickle.loads(data).encode(block.open(raws[0])), block.encode(block.open(raws[0])))


def test_a_bad_cell_is_refused_with_a_message(case):
    block, _, bad = case
    with pytest.raises(ValueError) as error:
        block.encode(block.open(bad))
    assert len(str(error.value)) > 20


def test_targets_know_loss_outputs_and_decision(case):
    block, raws, _ = case
    try:
        n = block.n_out
    except NotImplementedError:
        with pytest.raises(NotImplementedError):
            block.loss()
        return
    places = block.encode(block.open(raws[0])).shape if block.kind == "mask" else ()
    raw_output = torch.randn(len(raws), n, *places, requires_grad=True)
    final = block.final()
    output = raw_output if final is None else final(raw_output)
    if block.kind == "boxes":  # of each place a box, where it is and how large a step is, and an output a class
        place = torch.tensor([0.0, 0.0, 0.5, 0.5, 0.0, 0.1, 0.1, 0.5, 0.5]).expand(len(raws), 7, 9)
        output = torch.cat([place, raw_output[:, None].expand(-1, 7, -1)], dim=-1)
    loss = block.loss()(output, _finished(block, raws))
    loss.backward()
    assert loss.ndim == 0 and loss.isfinite() and raw_output.grad is not None and raw_output.grad.isfinite().all()
    decided = block.decide(block.activation(output.detach()))
    assert decided.shape[0] == len(raws) and block.decode(decided[0]) is not None
    assert block.metrics or block.kind == "interaction"  # which is judged by learn.ranking()

"""Networks of several inputs: pictures through one shared body, rows of a table beside them, one head over all."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from burnish.data.dataloaders import DataLoaders
from burnish.errors import DataError, SettingError, listed, nearest
from burnish.tabular.models import Embeddings, get_emb_sz, hidden_layer
from burnish.vision.backbones import Backbone
from burnish.vision.head import AdaptiveConcatPool2d

if TYPE_CHECKING:
    from burnish.tabular.row import RowBlock

PAIRINGS = ("compare", "concat", "symmetric")
ROW_LAYERS = (128, 64)
NARROW = 128  # features of a picture that meet those of the other inputs
UNKNOWN = 0.01  # of the cells with categories that are taken as unknown in training


class RowBranch(nn.Module):
    """A table's row to features: codes of categories and numbers ``(batch, columns)`` to ``(batch, num_features)``.

    In training a category is now and then taken as unknown, so that the model knows what to make of one.

    Args:
        emb_szs: (rows, width) of each category's embedding. n_cont: how many numbers come after the codes.
        unknown: the code of an unknown category, one a column; -1 for a column that can have none.
        layers: widths of the hidden layers.
    """

    unknown: Tensor

    def __init__(self, emb_szs: Sequence[tuple[int, int]], n_cont: int, unknown: Sequence[int], layers: Sequence[int] = ROW_LAYERS) -> None:
        super().__init__()
        self.embeds = Embeddings(emb_szs)
        widths = [self.embeds.width + n_cont, *layers]
        parts = [hidden_layer(a, b, True, 0.0, nn.ReLU(inplace=True), True) for a, b in itertools.pairwise(widths)]
        self.layers, self.num_features = nn.Sequential(*(m for part in parts for m in part)), widths[-1]
        self.register_buffer("unknown", torch.tensor(list(unknown), dtype=torch.int64), persistent=False)

    def forward(self, row: Tensor) -> Tensor:
        n = len(self.embeds)
        codes = row[:, :n].long()
        if self.training and n:
            drawn = torch.rand(codes.shape, device=codes.device) < UNKNOWN
            codes = torch.where(drawn & (self.unknown >= 0), self.unknown, codes)
        return self.layers(torch.cat([self.embeds(codes), row[:, n:]], 1))


class MultiInputModel(nn.Module):
    """Pictures ``(batch, channel, height, width)`` and rows ``(batch, columns)``, in the order of the data, to what its head gives.

    All pictures go through one body, and what it sees in each, pooled, through one layer to 128 features: thousands of them would be
    learned by heart, and would drown the few of a row. The head is given, by `pairing`:

    - "compare": those of each picture, in their order; by how much they differ between the pictures (of two |a - b|), and the mean of
      the pairs' products (of two a * b);
    - "concat": those of each picture, in their order;
    - "symmetric": their mean, difference and product: the order of the pictures makes no difference to the answer.

    "The same fruit?" of 1,000 pairs of the sample's photographs, a frozen tf_efficientnet_lite0, 6 epochs, new photographs to validate, means of 4 splits
    (benchmarks/pairs.py): 85 % right with "compare", 86 % with "symmetric", 78 % with "concat". (Products and differences: Conneau et al. 2017, InferSent.)

    Args:
        body: of the pictures. rows: a branch for each row. kinds: of the inputs, in order: "image" or "row".
        narrow: from a picture's features to few. head: from ``(batch, joint_features(config))`` on.
        concat_pool: pool by maximum and mean; False by mean alone.
    """

    def __init__(
        self, body: Backbone, rows: Sequence[RowBranch], kinds: Sequence[str], narrow: nn.Module, head: nn.Module, pairing: str = "compare",
        concat_pool: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kinds, self.pairing = list(kinds), pairing
        self.body, self.rows, self.narrow = body, nn.ModuleList(rows), narrow
        pool: nn.Module = nn.Identity() if not body.spatial else AdaptiveConcatPool2d() if concat_pool else nn.AdaptiveAvgPool2d(1)
        self.pool, self.head = pool, head

    def forward(self, *inputs: Tensor) -> Tensor:
        if len(inputs) != len(self.kinds):
            raise SettingError(f"The model takes {len(self.kinds)} inputs ({', '.join(self.kinds)}), and got {len(inputs)}.")
        pictures = [x for x, kind in zip(inputs, self.kinds, strict=True) if kind == "image"]
        rows = [x for x, kind in zip(inputs, self.kinds, strict=True) if kind == "row"]
        seen = self.narrow(torch.cat(self._seen(pictures))).chunk(len(pictures))
        of_rows = [branch(x).to(seen[0].dtype) for branch, x in zip(self.rows, rows, strict=True)]
        return self.head(torch.cat([*paired(seen, self.pairing), *of_rows], 1))

    def _seen(self, pictures: list[Tensor]) -> list[Tensor]:
        """What the body sees in the pictures ``(pictures, features)``; those of one size go through it at once."""
        if len({x.shape for x in pictures}) == 1:
            pictures = [torch.cat(pictures)] if len(pictures) > 1 else pictures
        return [self.pool(self.body(x)).flatten(1) for x in pictures]

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The body's stages, and then all that is new: the branches of rows and the head."""
        return [g for g in (*self.body.layer_groups(), [*self.rows.parameters(), *self.narrow.parameters(), *self.head.parameters()]) if g]


def paired(seen: Sequence[Tensor], pairing: str) -> list[Tensor]:
    """Features of several pictures, ``(batch, features)`` each, as what the head is given; see ``MultiInputModel``."""
    if len(seen) == 1 or pairing == "concat":
        return list(seen)
    each = torch.stack(list(seen))
    n, mean = len(each), each.mean(0)
    products = (n * mean**2 - each.square().mean(0)) / (n - 1)  # the mean over all pairs
    return [*([mean] if pairing == "symmetric" else seen), each.amax(0) - each.amin(0), products]


def joint_features(config: dict[str, Any]) -> int:
    """How many features the head of a model of several inputs is given."""
    n = sum(part["kind"] == "image" for part in config["inputs"])
    groups = n if n == 1 or config["pairing"] == "concat" else 3 if config["pairing"] == "symmetric" else n + 2
    return groups * NARROW + sum(_width(part) for part in config["inputs"] if part["kind"] == "row")


def narrowing(body: Backbone, concat_pool: bool, ps: float) -> nn.Module:
    """What brings a picture's features to few; with as much dropout as a head of `ps` begins with."""
    n = body.num_features * (2 if body.spatial and concat_pool else 1)
    linear = nn.Linear(n, NARROW, bias=False)
    return nn.Sequential(nn.BatchNorm1d(n, 1e-3), nn.Dropout(ps / 2), linear, nn.ReLU(inplace=True), nn.BatchNorm1d(NARROW, 1e-3))


def _width(row: dict[str, Any]) -> int:
    return row["layers"][-1] if row["layers"] else sum(w for _, w in row["emb_szs"]) + row["n_cont"]


def branches(config: dict[str, Any]) -> list[RowBranch]:
    """The branches of a model's rows, with fresh weights."""
    return [
        RowBranch([(rows, width) for rows, width in part["emb_szs"]], part["n_cont"], part["unknown"], part["layers"])
        for part in config["inputs"]
        if part["kind"] == "row"
    ]


# -- what follows from the data ---------------------------------------------------------------------------------------
def inputs_config(dls: DataLoaders, pairing: str) -> dict[str, Any]:
    """What a model file says of several inputs; nothing where the input is one picture.

    Raises:
        SettingError: there is no picture among the inputs, pictures have different channels, or an input is of another kind.
    """
    if pairing not in PAIRINGS:
        raise SettingError(f"pairing={pairing!r}: expected one of {', '.join(map(repr, PAIRINGS))}.{nearest(str(pairing), PAIRINGS)}")
    blocks = dls.input_blocks
    kinds = [block.kind for block in blocks]
    if not blocks or kinds == ["image"]:
        if pairing != "compare":
            raise SettingError(f"pairing={pairing!r} is of several pictures, and a sample here has one. Leave it away.")
        return {}
    names = ", ".join(type(b).__name__ for b in blocks)
    if "image" not in kinds or not {"image", "row"}.issuperset(kinds):
        raise SettingError(
            f"vision_learner builds for pictures (ImageBlock), one or several, and rows of a table (RowBlock) beside them; the inputs here are {names}. "
            "Use these blocks, n_inp= to say how many of the blocks are inputs; or build the network yourself, an nn.Module that takes the inputs in their order: Learner(dls, model)."
        )
    channels = [b.channels for b in blocks if b.kind == "image"]  # pyright: ignore[reportAttributeAccessIssue]
    if len(set(channels)) > 1:
        raise SettingError(
            f"The pictures of a sample go through one body, and they have {listed(channels)} channels. Open them alike: ImageBlock('RGB') for each."
        )
    return {"inputs": [_described(b) for b in blocks], "pairing": pairing}


def check_one_picture(dls: DataLoaders, who: str, instead: str = "") -> None:
    """Raises SettingError where samples have more inputs than one picture, for what is of one (`who`, as the sentence begins)."""
    blocks = dls.input_blocks
    if len(blocks) > 1:
        names = ", ".join(type(b).__name__ for b in blocks)
        raise SettingError(f"{who} takes samples of one picture; the inputs here are {names}.{' ' if instead else ''}{instead}")


def check_same_inputs(before: DataLoaders, dls: DataLoaders) -> None:
    """Raises DataError if a model made for `before` would be given other inputs by `dls`, or rows with other codes or scales."""
    old, new = ([block.kind for block in data.input_blocks] for data in (before, dls))
    if old and new and old != new:
        raise DataError(
            f"The model takes ({', '.join(old)}), in this order, and the new data has ({', '.join(new)}): make a new learner for it."
        )
    rows = ([block.config() for block in data.input_blocks if block.kind == "row"] for data in (before, dls))
    if old and new and next(rows) != next(rows):
        raise DataError(
            "The rows of the new data were prepared otherwise than those this model was made for (other columns, categories or means), so its numbers "
            "would mean something else to it. To predict them: learn.get_preds(dl=learn.dls.test_dl(items)); to train on them, make a new learner."
        )


def _described(block: Any) -> dict[str, Any]:
    if block.kind == "image":
        return {"kind": "image"}
    row: RowBlock = block
    sizes = get_emb_sz(row.categories.classes)
    return {
        "kind": "row", "emb_szs": [list(s) for s in sizes], "n_cont": len(row.numbers.features), "unknown": row.categories.unknown,
        "layers": list(ROW_LAYERS),
    }  # fmt: skip

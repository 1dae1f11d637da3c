"""DataLoaders: the splits of a data set, ready to train on, with everything needed to read more of the same."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from burnish.data.batches import RowLoader
from burnish.data.block import Block, Cells
from burnish.data.cache import ItemCache, make_cache
from burnish.data.check import Report, check_table, white_of
from burnish.data.config import from_config
from burnish.data.dataset import Dataset
from burnish.data.device import usable_device
from burnish.data.joint import JointLoss
from burnish.data.lazy import pd
from burnish.data.loader import DataLoader, PlainLoader
from burnish.data.notes import note
from burnish.data.randomness import fresh_seed
from burnish.data.reader import Reader
from burnish.data.table import column_names, rows_of, with_labels_read
from burnish.data.transforms import BatchTransform, ItemTransform
from burnish.data.whole import whole_number
from burnish.errors import DataError, NotInDataError, NotTrainableError, SettingError, UnreadableFileError, listed, nearest


def default_device() -> torch.device:
    """The accelerator if there is one (CUDA, then MPS), else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


class DataLoaders:
    """The loaders of a data set's splits: ``train``, ``valid`` and, when there is one, ``test``.

    Made by ``DataBlock.dataloaders`` or a factory (``ImageDataLoaders.from_folder`` ...), or of plain PyTorch loaders:
    ``DataLoaders(train_dl, valid_dl)``.

    Args:
        loaders: for train, valid and test, in this order: DataLoader or any iterable of batches with a length. None at
            the end is no such split.
        path: where models and results go. Not where the data is.
        device: where batches are finished; the accelerator if there is one.
        n_inp: how many tensors of a batch are inputs; None is all but the last.
    """

    def __init__(self, *loaders: Any, path: str | Path = ".", device: torch.device | str | None = None, n_inp: int | None = None) -> None:
        while loaders and loaders[-1] is None:
            loaders = loaders[:-1]
        if None in loaders:
            raise SettingError(
                "DataLoaders got None for a split before another one; expected the loaders for train, valid and test, in this order."
            )
        if len(loaders) > 3:
            raise SettingError(f"DataLoaders got {len(loaders)} loaders; expected at most 3: train, valid and test.")
        self.device = usable_device(device) if device is not None else default_device()
        self.path, self._n_inp = Path(path), n_inp
        self.loaders = [dl if isinstance(dl, (RowLoader, PlainLoader)) else PlainLoader(dl) for dl in loaders]
        self.table = pd.DataFrame()
        self.blocks: list[Block] = []
        self.item_tfms: list[ItemTransform] = []
        self.batch_tfms: list[BatchTransform] = []
        self.seed = fresh_seed()
        self.labels_of: Any = None  # (get items' raw cells, live sessions only; never stored)
        self.bs, self.num_workers, self.on_error = 64, None, "skip"
        self.class_weights: torch.Tensor | None = None
        self._told: set[str] = set()  # what is new in items to predict, said already
        self.to(self.device)

    # -- making them --------------------------------------------------------------------------------------------
    @classmethod
    def from_table(
        cls,
        table: pd.DataFrame,
        blocks: Sequence[Block],
        *,
        n_inp: int = 1,
        item_tfms: Sequence[ItemTransform] = (),
        batch_tfms: Sequence[BatchTransform] = (),
        bs: int = 64,
        val_bs: int | None = None,
        path: str | Path = ".",
        device: torch.device | str | None = None,
        seed: int | None = None,
        num_workers: int | None = None,
        shuffle: bool = True,
        drop_last: bool | None = None,
        cache: bool | str | Path | None = None,
        on_error: str = "skip",
        balance: str | None = None,
        labels_of: Any = None,
    ) -> DataLoaders:
        """Loaders over a table with a column a block and a `split` column (see ``DataBlock.dataloaders``)."""
        names = column_names(blocks)
        dls = cls(path=path, device=device, n_inp=n_inp)
        dls.table, dls.blocks = table, [copy.deepcopy(b) for b in blocks]
        dls.item_tfms, dls.batch_tfms = list(item_tfms), [copy.deepcopy(t) for t in batch_tfms]
        dls.seed = fresh_seed() if seed is None else int(seed)
        dls.bs, dls.num_workers, dls.on_error, dls.labels_of = bs, num_workers, on_error, labels_of
        rows = {split: rows_of(table, split) for split in ("train", "valid", "test")}
        columns = [table[name].tolist() for name in names]
        _fit_blocks(dls.blocks, columns, rows, table, names, n_inp)
        dls.check_balance(balance, shuffle)
        training = [columns[-1][row] for row in rows["train"]]
        dls.weigh_classes(balance, training)
        weights = dls._balance(balance, lambda: dls.blocks[-1].encode_all(training))
        kept = None  # the splits' samples are cached in one place, within one budget
        for split, where in rows.items():
            if split == "test" and not len(where):
                continue
            train = split == "train"
            reader = Reader(dls.blocks, dls.item_tfms, train=train)
            reader.cache = _make_cache(reader, cache, columns, where, sum(map(len, rows.values())), kept)
            kept = reader.cache or kept
            dl = DataLoader(
                columns, where, reader, batch_tfms=dls.batch_tfms, bs=bs if train or val_bs is None else val_bs, train=train, shuffle=train and shuffle,
                drop_last=drop_last if train else False, weights=weights if train else None, num_workers=num_workers,
                device=dls.device, seed=dls.seed, on_error=on_error,
            )  # fmt: skip
            dls.loaders.append(dl)
        dls.say_small()
        return dls

    def say_small(self) -> None:
        """Says so where the training rows don't fill one batch."""
        if self.bs > self.train.n:
            note(f"The batch size ({self.bs}) is larger than the training set ({self.train.n}): each epoch is one batch of {self.train.n}.")

    def check_balance(self, balance: str | None, shuffle: bool) -> None:
        """Raises SettingError if `balance` isn't known, or goes with neither the target nor the order."""
        if balance not in ("sample", "loss", None):
            raise SettingError(
                f"balance={balance!r}: expected 'sample' (rare classes are drawn more often), 'loss' (they weigh more in the loss) or None."
            )
        fitting = ["category", "mask"] if balance == "loss" else ["category"]
        if balance is not None and (len(self.target_blocks) != 1 or self.target_blocks[0].kind not in fitting):
            kinds = ", ".join(type(b).__name__ for b in self.target_blocks) or "nothing"
            raise SettingError(
                f"balance={balance!r} needs a CategoryBlock{' or a MaskBlock' * (len(fitting) > 1)} as the target, and it is {kinds}."
            )
        if balance == "sample" and not shuffle:
            raise SettingError(
                "balance='sample' draws the training samples at random, and shuffle=False keeps them in order. Leave out shuffle=False, or weigh the classes in the loss: balance='loss'."
            )

    def weigh_classes(self, balance: str | None, raws: Sequence[Any]) -> None:
        """Sets `class_weights` (classes,) for balance="loss" where the target block counts its classes itself: of masks the roots of what would
        let every class count alike, as their shares of the pixels differ by far more than those of labels."""
        counts = self.target_blocks[0].class_counts(raws) if balance == "loss" else None
        if counts is not None:
            shares = counts.sum() / (np.maximum(counts, 1) * (counts > 0).sum())
            self.balance, self.class_weights = balance, torch.tensor(np.sqrt(shares), dtype=torch.float32)

    def _balance(self, balance: str | None, encoded: Callable[[], torch.Tensor]) -> np.ndarray | None:
        """Sampling weights for balance="sample"; sets `class_weights` (classes,) for balance="loss". `encoded` gives the target of
        each training row."""
        if balance is None or self.class_weights is not None:
            return None
        block = self.blocks[-1]
        codes = encoded().numpy()
        counts = np.bincount(codes, minlength=block.n_out)
        share = len(codes) / (np.maximum(counts, 1) * (counts > 0).sum())
        self.balance = balance
        if balance == "sample":
            return share[codes]
        self.class_weights = torch.tensor(share, dtype=torch.float32)
        return None

    # -- the splits ---------------------------------------------------------------------------------------------
    def _loader(self, i: int, name: str) -> Any:
        if i < len(self.loaders):
            return self.loaders[i]
        if not self.loaders:
            raise NotTrainableError(
                "There is no training data here: this came from an exported model. To train on, assign data to it: learn.dls = DataLoaders made from your data."
            )
        raise DataError(
            f"There is no {name} split: these DataLoaders have {len(self.loaders)} loader(s). Pass a {name} loader, or use a splitter that makes one."
        )

    @property
    def train(self) -> Any:
        """The training loader."""
        return self._loader(0, "train")

    @train.setter
    def train(self, dl: Any) -> None:
        self.loaders[0:1] = [dl if isinstance(dl, (RowLoader, PlainLoader)) else PlainLoader(dl, self.device)]

    @property
    def valid(self) -> Any:
        """The validation loader."""
        return self._loader(1, "validation")

    @valid.setter
    def valid(self, dl: Any) -> None:
        self.loaders[1:2] = [dl if isinstance(dl, (RowLoader, PlainLoader)) else PlainLoader(dl, self.device)]

    @property
    def test(self) -> Any:
        """The test loader, or None."""
        return self.loaders[2] if len(self.loaders) > 2 else None

    def __getitem__(self, which: int | str) -> Any:
        """A split's loader by position (0 train, 1 valid, 2 test) or name."""
        names = ("train", "valid", "test")
        i = names.index(which) if which in names else whole_number(which, least=0)
        if i is None or i > 2:
            raise SettingError(f"There is no split {which!r}: the splits are 0 'train', 1 'valid', 2 'test'.{nearest(str(which), names)}")
        return self._loader(i, names[i])

    def __len__(self) -> int:
        return len(self.loaders)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.loaders)

    @property
    def train_ds(self) -> Any:
        """The training samples, opened but not transformed."""
        return self._dataset(0)

    @property
    def valid_ds(self) -> Any:
        """The validation samples, opened but not transformed."""
        return self._dataset(1)

    @property
    def test_ds(self) -> Any:
        """The test samples, opened but not transformed."""
        return self._dataset(2)

    def _dataset(self, i: int) -> Any:
        dl = self[i]
        return Dataset(dl.columns, dl.rows, dl.blocks, self.n_inp) if isinstance(dl, DataLoader) else dl.dataset

    # -- what the data is ---------------------------------------------------------------------------------------
    @property
    def n_inp(self) -> int | None:
        """How many tensors of a batch are inputs; None for plain loaders: all but the last."""
        return self._n_inp

    @property
    def input_blocks(self) -> list[Block]:
        return self.blocks[: self._n_inp]

    @property
    def target_blocks(self) -> list[Block]:
        return self.blocks[self._n_inp :] if self.blocks else []

    @property
    def target_names(self) -> list[list[str]]:
        """What each target's values are called, a list a target."""
        return [[name] for name in column_names(self.blocks)[self._n_inp :]] if self.blocks else []

    @property
    def vocab(self) -> Any:
        """The labels of the target, in the order of the model's outputs (a list of lists for several)."""
        vocabs = [b.vocab for b in self.blocks if getattr(b, "vocab", None) is not None]  # type: ignore[attr-defined]
        if not vocabs:
            raise NotInDataError(
                "These DataLoaders have no vocabulary: no block is a category."
                if self.blocks
                else "DataLoaders made of plain PyTorch loaders have no vocabulary."
            )
        return vocabs[0] if len(vocabs) == 1 else vocabs

    @property
    def c(self) -> int:
        """How many outputs a model needs for the target(s)."""
        if not self.target_blocks:
            raise NotInDataError("The number of outputs isn't known: there is no target block. Pass n_out= to the learner.")
        return sum(b.n_out for b in self.target_blocks)

    def targets_of(self, split: str) -> list[torch.Tensor]:
        """The encoded targets of a split's rows ``(samples, ...)``, one tensor a target, from the table: no file is read."""
        rows = rows_of(self.table, split)
        names = self.table.attrs.get("targets", [])
        return [b.encode_all(self.table[name].iloc[rows].tolist()) for b, name in zip(self.target_blocks, names, strict=True)]

    def with_target(self, block: Block) -> DataLoaders:
        """These loaders with another block of the one target, for who reads outputs in another way; what they read stays the same."""
        made = copy.copy(self)
        made.loaders, made.blocks = list(self.loaders), [*self.blocks[:-1], block]
        return made

    def loss(self) -> nn.Module:
        """The default loss of the target; class weights are in it when ``balance="loss"`` was asked for."""
        if not self.target_blocks:
            raise SettingError("No loss can be chosen, as there is no target: pass loss_func= to the learner.")
        if len(self.target_blocks) > 1:
            return JointLoss([block.loss() for block in self.target_blocks])
        loss = self.target_blocks[0].loss()
        if self.class_weights is not None:
            loss.weight = self.class_weights.to(self.device)
        return loss

    def to(self, device: torch.device | str) -> DataLoaders:
        """Moves where batches are finished; returns itself."""
        self.device = usable_device(device)
        for dl in self.loaders:
            dl.to(self.device)
        return self

    def cuda(self) -> DataLoaders:
        return self.to("cuda")

    def cpu(self) -> DataLoaders:
        return self.to("cpu")

    # -- looking at it ------------------------------------------------------------------------------------------
    def one_batch(self) -> Any:
        """A batch of the training split, as the model gets it."""
        return self.train.one_batch()

    def show_batch(
        self,
        max_n: int = 9,
        nrows: int | None = None,
        ncols: int | None = None,
        figsize: tuple[float, float] | None = None,
        unique: bool = False,
    ) -> None:
        """Draws samples of a training batch as the model sees them, in a new matplotlib figure.

        Args:
            max_n: most samples drawn, where `nrows` and `ncols` don't say how many.
            nrows, ncols: the grid. With one of them the other fits the samples; both draw ``nrows * ncols`` of them.
            unique: draw one sample over and over, to see what augmentation does.
        """
        self._need_blocks("draw their batches", "Look at one_batch() and draw what you know.")
        self.train.show_batch(max_n=max_n, nrows=nrows, ncols=ncols, figsize=figsize, unique=unique)

    def check(self) -> Report:
        """Looks for what spoils results: unreadable files, duplicates (also across splits), imbalance, odd sizes ..."""
        self._need_blocks("be checked", "check_table(table, inputs, targets) of burnish.data.check checks a DataFrame of files and labels.")
        self._loader(0, "train")  # or there is no data to check
        n_inp = self._n_inp or 1
        inputs = column_names(self.blocks)[:n_inp]
        table, targets = with_labels_read(self.table, self.blocks, n_inp)
        return check_table(table, inputs, targets, white=white_of(self.blocks[:n_inp]))

    def _need_blocks(self, what: str, instead: str) -> None:
        """Raises DataError for what only DataLoaders with blocks can do."""
        if not self.blocks:
            raise DataError(
                f"DataLoaders made of plain PyTorch loaders can't {what}: nothing says what their tensors are. {instead} A DataBlock makes "
                "DataLoaders that can."
            )

    def summary(self) -> str:
        """What the data is, in words: splits, classes, transforms, batch shapes."""
        from burnish.data.describe import describe

        return describe(self)

    # -- more of the same ---------------------------------------------------------------------------------------
    def several(self, item: Any) -> list[Any] | None:
        """The items that ``predict`` was given in a list (or a tuple, where a sample has one input); None where it is one item."""
        is_list = isinstance(item, list) or type(item).__name__ in ("L", "Series", "Index")
        return list(item) if is_list or (isinstance(item, tuple) and (self._n_inp or 1) == 1) else None

    def test_dl(
        self, test_items: Any, with_labels: bool = False, bs: int | None = None, num_workers: int | None = None, on_error: str | None = None
    ) -> DataLoader:
        """A loader over new items, read as validation samples are; in order, nothing drawn.

        Args:
            test_items: a list of what the input block opens (paths, bytes, pictures, arrays), or samples like the
                ones these DataLoaders were made from (rows of a DataFrame, say).
            with_labels: read the targets too, with the getters of these DataLoaders (not for a loaded model).
        """
        self._need_blocks("read new items", "Make a PyTorch loader for them and pass it as dl=.")
        if isinstance(test_items, (str, Path, bytes)):
            raise SettingError(
                f"test_dl got one item, {str(test_items)[:80]!r}; expected a list of items, e.g. test_dl([item]) or test_dl(get_image_files(folder))."
            )
        blocks = self.blocks if with_labels else self.input_blocks
        columns = self._columns_of(test_items, with_labels)
        self._say_news(columns)
        n = len(columns[0])
        if with_labels:
            for i, block in enumerate(self.target_blocks, len(self.input_blocks)):
                block.check(columns[i], [_row_name(columns, row, i, len(self.input_blocks)) for row in range(n)], "test")
        few = 0 if n <= 4 else self.num_workers
        return DataLoader(
            columns, np.arange(n), Reader(blocks, self.item_tfms, train=False), batch_tfms=self.batch_tfms, bs=bs or self.bs,
            num_workers=few if num_workers is None else num_workers, device=self.device, seed=self.seed, on_error=on_error or self.on_error,
        )  # fmt: skip

    def _columns_of(self, items: Any, with_labels: bool) -> list[list[Any]]:
        if self.labels_of is not None and (with_labels or self.labels_of.takes(items)):
            return self.labels_of.columns(items, with_labels)
        if with_labels:
            raise SettingError(
                "with_labels=True needs the labelling functions, which a loaded model doesn't have. Make DataLoaders from a DataBlock with them."
            )
        n_inp = self._n_inp or 1
        items = list(items)
        if n_inp == 1:
            return [items]
        wrong = [i for i, item in enumerate(items) if not isinstance(item, (tuple, list)) or len(item) != n_inp]
        if wrong:
            item = items[wrong[0]]
            got = f"a tuple of {len(item)}" if isinstance(item, (tuple, list)) else f"{str(item)[:80]!r} (a {type(item).__name__})"
            wanted = ", ".join(column_names(self.input_blocks))
            raise SettingError(
                f"Each item must be a tuple of {n_inp} inputs, ({wanted}); item {listed(wrong)} is not: got {got}. One sample: predict(({wanted})); several: "
                f"predict([({wanted}), ...])."
            )
        return [[item[k] for item in items] for k in range(n_inp)]

    def _say_news(self, columns: Sequence[Sequence[Any]]) -> None:
        """Says once what new items have that the training rows had not."""
        found = [said for block, column in zip(self.input_blocks, columns, strict=False) for said in block.news(column)]
        new = [said for said in dict.fromkeys(found) if said not in self._told]
        if new:
            self._told.update(new)
            note(f"New in these items: {listed(new, 6)}.")

    # -- the model file -----------------------------------------------------------------------------------------
    def config(self) -> dict[str, Any]:
        """What is needed to read data for prediction, as JSON. Train-only transforms that can't be written are left out."""
        tfms = []
        for tfm in [*self.item_tfms, *self.batch_tfms]:
            try:
                tfms.append(tfm.config())
            except TypeError:
                if tfm.when != "train":
                    raise
        n_item = sum(isinstance(t, ItemTransform) for t in map(from_config, tfms))
        return {
            "blocks": [b.config() for b in self.blocks],
            "n_inp": self._n_inp,
            "item_tfms": tfms[:n_item],
            "batch_tfms": tfms[n_item:],
            "bs": self.bs,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], device: torch.device | str | None = None) -> DataLoaders:
        """DataLoaders without data, for prediction: what ``config()`` described."""
        dls = cls(device=device, n_inp=config["n_inp"])
        dls.blocks = [from_config(c) for c in config["blocks"]]
        dls.item_tfms = [from_config(c) for c in config["item_tfms"]]
        dls.batch_tfms = [from_config(c).to(dls.device) for c in config["batch_tfms"]]
        dls.bs = config["bs"]
        return dls

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {dl.n}" for name, dl in zip(("train", "valid", "test"), self.loaders, strict=False))
        return f"DataLoaders({sizes or 'no data: for prediction'}; {', '.join(type(b).__name__ for b in self.blocks) or 'plain loaders'})"


def _fit_blocks(
    blocks: list[Block], columns: list[list[Any]], rows: dict[str, np.ndarray], table: pd.DataFrame, names: list[str], n_inp: int
) -> None:
    for i, (block, column) in enumerate(zip(blocks, columns, strict=True)):
        block.fit(Cells((column[r] for r in rows["train"]), (_row_name(columns, r, i, n_inp) for r in rows["train"])))
        for split, where in rows.items():
            block.check([column[r] for r in where], [_row_name(columns, r, i, n_inp) for r in where], split)


def _row_name(columns: list[list[Any]], row: int, i: int, n_inp: int) -> object:
    """How a message calls a row: by its file where the input is one, else by its number."""
    first = columns[0][row]
    return str(first) if isinstance(first, (str, Path)) and i >= n_inp else f"row {row}"


def _make_cache(
    reader: Reader, setting: Any, columns: list[list[Any]], rows: np.ndarray, n: int, beside: ItemCache | None
) -> ItemCache | None:
    """The cache of a split, beside that of the one before. Reads the first readable sample, to learn how large prepared samples
    are and to meet mistakes early."""
    if setting is False:
        return None
    for row in rows[:5]:
        try:
            values = reader.prepare(tuple(c[row] for c in columns))
        except (UnreadableFileError, OSError):
            continue
        size = sum(4 * v.width * v.height for v in values if hasattr(v, "width"))
        return make_cache(setting, reader.settings(), n, size, beside) if size else None
    return None

"""What every face brings: everyday names, data, training and evaluation. ``from burnish.vision.all import *`` and the others have these
too; for plain PyTorch loaders and models ``from burnish.basics import *`` is enough. matplotlib loads when it is first drawn with.
"""

from __future__ import annotations

import functools
import json
import os
import random
import re
import shutil
import sys
from functools import partial
from pathlib import Path

import numpy as np
import PIL
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn, optim

from burnish.data.block import Block
from burnish.data.category import CategoryBlock
from burnish.data.collections import L
from burnish.data.datablock import DataBlock
from burnish.data.dataloaders import DataLoaders
from burnish.data.download import download_url
from burnish.data.files import FileGetter, ImageGetter, get_files, get_image_files, get_text_files
from burnish.data.label import AttrGetter, ColReader, ItemGetter, RegexLabeller, parent_label, using_attr
from burnish.data.lazy import LazyModule, pd
from burnish.data.multicategory import MultiCategoryBlock
from burnish.data.number import RegressionBlock, SigmoidRange
from burnish.data.sets import URLs, untar_data
from burnish.data.split import *
from burnish.data.split import __all__ as _splitters
from burnish.data.transforms import BatchTransform, ItemTransform
from burnish.evaluate import *
from burnish.evaluate import __all__ as _evaluate
from burnish.evaluate.learner import Learner
from burnish.evaluate.losses import *
from burnish.evaluate.losses import __all__ as _losses
from burnish.evaluate.losses_masks import *
from burnish.evaluate.losses_masks import __all__ as _mask_losses
from burnish.evaluate.metrics import *
from burnish.evaluate.metrics import __all__ as _metrics
from burnish.train.callback import (
    Callback,
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    CancelStepException,
    CancelTrainException,
    CancelValidException,
)
from burnish.train.callbacks import *
from burnish.train.callbacks import __all__ as _callbacks
from burnish.train.export import load_learner
from burnish.train.hooks import *
from burnish.train.hooks import __all__ as _hooks
from burnish.train.lr_find import minimum, slide, steep, valley
from burnish.train.metric import AverageMetric, Metric
from burnish.train.optim import SGD, Adam, AdamW, RAdam
from burnish.train.schedule import (
    ParamScheduler,
    SchedCos,
    SchedExp,
    SchedLin,
    SchedNo,
    SchedPoly,
    combine_scheds,
    combined_cos,
)

plt = LazyModule("matplotlib.pyplot")

__all__ = sorted({  # pyright: ignore[reportUnsupportedDunderAll]
    # everyday Python, numpy, pandas, torch
    "F", "Image", "PIL", "Path", "Tensor", "functools", "json", "nn", "np", "optim", "os", "partial", "pd", "plt", "random", "re",
    "shutil", "sys", "torch",
    # data
    "AttrGetter", "BatchTransform", "Block", "CategoryBlock", "ColReader", "DataBlock", "DataLoaders", "FileGetter",
    "ImageGetter", "ItemGetter", "ItemTransform", "L", "MultiCategoryBlock", "RegexLabeller", "RegressionBlock", "SigmoidRange", "URLs", "download_url",
    "get_files", "get_image_files", "get_text_files", "parent_label", "untar_data", "using_attr", *_splitters,
    # training
    "Adam", "AdamW", "AverageMetric", "Callback", "CancelBatchException", "CancelEpochException", "CancelFitException",
    "CancelStepException", "CancelTrainException", "CancelValidException", "Learner", "Metric", "ParamScheduler", "RAdam", "SGD",
    "SchedCos", "SchedExp", "SchedLin", "SchedNo", "SchedPoly", "combine_scheds", "combined_cos", "load_learner", "minimum",
    "slide", "steep", "valley", *_callbacks, *_hooks,
    # evaluation
    *_evaluate, *_losses, *_mask_losses, *_metrics,
})  # fmt: skip

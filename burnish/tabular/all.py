"""The face for notebooks: ``from burnish.tabular.all import *`` brings every name that work with tables uses.

The names are listed below and in ``burnish.basics``; nothing else comes in.
"""

from __future__ import annotations

from burnish.basics import *
from burnish.basics import __all__ as _basics
from burnish.tabular.columns import cluster_columns, df_shrink, split_check
from burnish.tabular.dataloaders import TabularDataLoaders
from burnish.tabular.dates import add_datepart
from burnish.tabular.learner import TabularLearner, tabular_config, tabular_learner
from burnish.tabular.models import TabularModel, emb_sz_rule, get_emb_sz
from burnish.tabular.modern import RealMLP
from burnish.tabular.prepare import TabularPandas
from burnish.tabular.procs import Categorify, Dates, FillMissing, FillStrategy, Normalize, TabularProc
from burnish.tabular.roles import cont_cat_split
from burnish.tabular.row import RowBlock

__all__ = sorted({  # pyright: ignore[reportUnsupportedDunderAll]
    *_basics, "Categorify", "Dates", "FillMissing", "FillStrategy", "Normalize", "RealMLP", "RowBlock", "TabularDataLoaders", "TabularLearner",
    "TabularModel", "TabularPandas", "TabularProc", "add_datepart", "cluster_columns", "cont_cat_split", "df_shrink", "emb_sz_rule", "get_emb_sz", "split_check", "tabular_config",
    "tabular_learner",
})  # fmt: skip

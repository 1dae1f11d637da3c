"""The learner as people meet it: what it finds is told with its uncertainty and beside a baseline."""

from __future__ import annotations

from burnish.evaluate.summary import ResultNote
from burnish.train.learner import Learner as PlainLearner


class Learner(PlainLearner):
    __doc__ = PlainLearner.__doc__

    standard_cbs = (*PlainLearner.standard_cbs, ResultNote)

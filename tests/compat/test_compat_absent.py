"""What isn't there says so, and what to do: at the import of what stays out, at the first use of the rest."""

from __future__ import annotations

import subprocess
import sys


def test_what_is_not_there_says_what_to_do():
    code = """
import burnish.compat; burnish.compat.install()
from fastai.text.all import *
from fastai.distributed import *
from fastai.callback.wandb import WandbCallback
from fastai.callback.tensorboard import TensorBoardCallback
assert BOS == "xxbos" and L(1) and isinstance(AWD_LSTM, type) and rank0_first(max, 1, 2) == 2
class Own(TextLearner): pass
for use, said in [(lambda: TextBlock.from_df("text"), "TextBlock.from_df: texts aren't in burnish yet"), (lambda: text_classifier_learner(None, AWD_LSTM), "text_classifier_learner: "),
                  (lambda: Own(), "Own: texts aren't"), (lambda: WandbCallback(), "CSVLog() keeps each epoch's row"), (lambda: DistributedTrainer(), "one process trains")]:
    try:
        use()
    except NotImplementedError as error:
        assert said in str(error), error
    else:
        raise AssertionError(said)
for module, said in [("fastai.vision.gan", "stay out of burnish"), ("fastai.medical.imaging", "DICOM"), ("fastai.nothing", "says what there is")]:
    try:
        __import__(module)
    except ModuleNotFoundError as error:
        assert said in str(error) and (module in str(error) or "medical" in module), error
    else:
        raise AssertionError(module)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

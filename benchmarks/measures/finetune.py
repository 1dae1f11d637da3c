"""Fine-tuning on the groceries photographs: wall time, and loss and error on the official test split."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import pandas as pd


def measure(side: Any, s: dict[str, Any]) -> dict[str, float]:
    """Figures: seconds (fine_tune alone), setup_s (loaders and learner), test_loss and test_error (from the probabilities, in
    the same way for both libraries), valid_loss (the official validation split's 57 photographs).
    """
    import torch

    table = pd.read_csv(s["table"])
    test = table[table["split"] == "test"].reset_index(drop=True)
    fit = table[table["split"] != "test"].assign(is_valid=lambda t: t["split"] == "valid").reset_index(drop=True)
    start = perf_counter()
    dls = side.loaders(fit[["file", "label", "is_valid"]], s["size"], s["bs"], s["seed"], augment=s.get("augment", False))
    learn = side.image_learner(dls, s["arch"], s.get("weights"), s["seed"])
    if s.get("whole_pictures"):
        side.whole_pictures(learn)
    ready = perf_counter()
    learn.fine_tune(s["epochs"])
    done = perf_counter()

    def score(frame: pd.DataFrame) -> tuple[float, float]:
        probs, targets = learn.get_preds(dl=dls.test_dl(frame[["file", "label"]], with_labels=True))[:2]
        probs, targets = torch.as_tensor(probs).float(), torch.as_tensor(targets).long()
        assert torch.allclose(probs.sum(1), torch.ones(len(probs)), atol=1e-3), "get_preds must give probabilities"
        loss = -probs[torch.arange(len(probs)), targets].clamp_min(1e-7).log().mean()
        return float(loss), float((probs.argmax(1) != targets).float().mean())

    test_loss, test_error = score(test)
    valid_loss, _ = score(fit[fit["is_valid"]].reset_index(drop=True))
    return {
        "seconds": done - ready, "setup_s": ready - start, "test_loss": test_loss, "test_error": test_error, "valid_loss": valid_loss,
    }  # fmt: skip

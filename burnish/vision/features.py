"""What a pretrained body sees in pictures: one vector a picture, in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from burnish.data.notes import note
from burnish.errors import DataError, SettingError
from burnish.vision.backbones import create_body
from burnish.vision.normalization import first_pictures, normalised_by
from burnish.vision.weights import Source

if TYPE_CHECKING:
    from burnish.data.dataloaders import DataLoaders

DEFAULT_BODY = "tf_efficientnet_lite0"  # small and quick; its weights come with burnish[offline]


def picture_features(body: nn.Module, dls: DataLoaders, rows: np.ndarray) -> np.ndarray:
    """The features of pictures ``(rows, features)``, feature maps averaged over their places; nan for those that can't be read.

    Args:
        rows: positions in ``dls.table``, read as validation reads them.
    """
    name = dls.table.attrs["inputs"][0]
    items = dls.table[name].iloc[rows].tolist()
    loader: Any = dls.test_dl(items, num_workers=dls.num_workers, on_error="skip")
    body = body.to(dls.device).eval()
    made: np.ndarray | None = None
    with torch.inference_mode():
        for batch in loader:
            features = body(batch[0])
            if features.ndim == 4:
                features = features.mean((2, 3))
            if made is None:
                made = np.full((len(rows), features.shape[1]), np.nan, dtype=np.float32)
            made[loader.last_rows] = features.float().cpu().numpy()
    if made is None:
        raise DataError("None of the pictures could be read, so there is nothing to compare.")
    return made


def untrained_body(learn: Any, dls: DataLoaders, body: Any = None, weights: Source | None = None) -> nn.Module:
    """The pretrained body that has not seen the labels of this data: of the learner's own architecture as it began, or `body`.

    Args:
        learn: a learner, or None: then `body` is tf_efficientnet_lite0 unless it is given.
        body: an architecture's name, or a module from pictures to features, taken as it is.
        weights: of `body`, as ``vision_learner`` takes them.

    Raises:
        SettingError: the learner's body began untrained. OfflineError: the weights can't be had.
    """
    if isinstance(body, nn.Module):
        return body
    normalize = normalised_by(dls, lambda: first_pictures(dls)) is None
    channels = getattr(dls.input_blocks[0], "channels", 3)
    if body is not None or weights is not None or learn is None:
        arch = body or getattr(learn, "arch", None) or DEFAULT_BODY
        return create_body(arch, True, channels, weights, normalize=normalize)
    if not learn.pretrained:
        raise SettingError(
            "The learner's body began untrained, and what it is now has learned from the labels that are to be judged. "
            f"Take a pretrained one, body={DEFAULT_BODY!r}; or have it trained anew on parts of the data: retrain=3 (epochs; slower)."
        )
    again = getattr(learn, "again", None)
    if again is not None:
        return again.body(normalize)
    if learn.arch is None:
        raise SettingError(f"The learner doesn't say what its body was made from. Take another: body={DEFAULT_BODY!r}.")
    note(
        f"find_issues: pictures are compared as {learn.arch} with its published weights sees them, not the trained model, which has seen the labels."
    )
    args = (learn.model_config or {}).get("arch_args") or {}
    return create_body(learn.arch, True, channels, normalize=normalize, arch_args=args)

"""The face for notebooks: ``from burnish.vision.all import *`` brings every name that work with pictures uses.

The names are listed below and in ``burnish.basics``; nothing else comes in.
"""

from __future__ import annotations

from burnish.basics import *
from burnish.basics import __all__ as _basics
from burnish.tabular.row import RowBlock
from burnish.vision import architectures as _architectures
from burnish.vision.annotations import get_annotations
from burnish.vision.augment import *
from burnish.vision.augment import __all__ as _augment
from burnish.vision.backbones import create_body
from burnish.vision.blocks import ImageBlock
from burnish.vision.boxes import BBoxBlock, BBoxLblBlock, Boxes
from burnish.vision.cleaner import ImageClassifierCleaner, ImagesCleaner
from burnish.vision.dataloaders import ImageDataLoaders
from burnish.vision.detection import DetectionDataLoaders, detection_learner
from burnish.vision.download import download_images
from burnish.vision.explain import explain
from burnish.vision.files import resize_images, verify_image, verify_images
from burnish.vision.films import extract_frames
from burnish.vision.head import AdaptiveConcatPool2d, create_head
from burnish.vision.image import PILImage, PILImageBW, load_image, open_image
from burnish.vision.issues import find_issues
from burnish.vision.learner import cnn_learner, vision_learner
from burnish.vision.masks import MaskBlock
from burnish.vision.points import PointBlock
from burnish.vision.progressive import ProgressiveResize
from burnish.vision.sample import sample_photos
from burnish.vision.search import DuckDuckGo, FoundImage, Openverse, WikimediaCommons, search_images
from burnish.vision.segmentation import SegmentationDataLoaders, unet_learner
from burnish.vision.transforms import (
    CropPad,
    DihedralItem,
    FlipItem,
    PadMode,
    RandomCrop,
    RandomResizedCrop,
    RatioResize,
    Resize,
    ResizeMethod,
)

globals().update(_architectures.ARCHITECTURES)

__all__ = sorted({  # pyright: ignore[reportUnsupportedDunderAll]
    *_basics, "AdaptiveConcatPool2d", "BBoxBlock", "BBoxLblBlock", "Boxes", "CropPad", "DetectionDataLoaders", "DihedralItem", "DuckDuckGo", "FlipItem", "FoundImage", "ImageBlock", "ImageClassifierCleaner",
    "ImageDataLoaders", "ImagesCleaner", "MaskBlock", "Openverse", "PILImage", "PILImageBW", "PadMode", "PointBlock", "ProgressiveResize", "RandomCrop",
    "RandomResizedCrop", "RatioResize", "Resize", "ResizeMethod", "RowBlock", "SegmentationDataLoaders", "WikimediaCommons", "cnn_learner", "create_body",
    "create_head", "detection_learner", "download_images", "explain", "extract_frames", "find_issues", "get_annotations", "load_image", "open_image", "resize_images", "sample_photos",
    "search_images", "unet_learner", "verify_image", "verify_images", "vision_learner",
    *_augment, *_architectures.ARCHITECTURES,
})  # fmt: skip

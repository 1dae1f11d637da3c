"""Names that can be imported and not used: texts, which aren't there yet, and what burnish does in another way. Using one says what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_TEXT = "texts aren't in burnish yet; pictures, tables and ratings are (docs/from-fastai.md)."
_LOGGER = (
    "burnish has no callback for that service. CSVLog() keeps each epoch's row in a file, and a Callback of six lines sends it anywhere: its "
    "after_epoch(self, learn) finds the numbers in learn.recorder.history (docs/from-fastai.md)."
)
_SEVERAL = "training on several processes isn't in burnish yet; leave it out, and one process trains."

_OF_TEXTS = (
    "AWD_LSTM BaseTokenizer CorpusBLEUMetric EmbeddingDropout LMDataLoader LMLearner LMTensorText LinearDecoder Numericalize Pad_Chunk Pad_Input "
    "PoolingLinearClassifier RNNDropout SentenceEncoder SentencePieceTokenizer SequentialRNN SortedDL SpacyTokenizer "
    "SubwordTokenizer TensorText TextBlock TextDataLoaders TextLearner TokenizeWithRules Tokenizer WeightDropout WordTokenizer "
    "awd_lstm_clas_config awd_lstm_clas_split awd_lstm_lm_config awd_lstm_lm_split clean_raw_keys decode_spec_tokens dropout_mask "
    "fix_html get_language_model get_text_classifier language_model_learner load_ignore_keys load_model_text load_tokenized_csv "
    "lowercase make_vocab masked_concat_pool match_embeds pad_chunk pad_input pad_input_chunk parallel_tokenize replace_all_caps "
    "replace_maj replace_rep replace_space replace_wrep reverse_text rm_useless_spaces spec_add_spaces text_classifier_learner "
    "tokenize1 tokenize_csv tokenize_df tokenize_files tokenize_folder tokenize_texts "
)

WHY: dict[str, str] = {
    **dict.fromkeys(_OF_TEXTS.split(), _TEXT),
    **dict.fromkeys(["CometCallback", "TensorBoardBaseCallback", "TensorBoardCallback", "WandbCallback"], _LOGGER),
    **dict.fromkeys(["AzureMLCallback", "NeptuneCallback", "log_dataset", "log_model", "tensorboard_log", "wandb_process"], _LOGGER),
    **dict.fromkeys(["TensorBoardProjectorCallback", "projector_word_embeddings"], _LOGGER),
    "CaptumInterpretation": "explain(learn, picture) draws what a model looks at (Grad-CAM).",
    **dict.fromkeys(["DistributedDL", "DistributedTrainer", "ParallelTrainer", "setup_distrib", "teardown_distrib"], _SEVERAL),
}
TOKENS = {
    "UNK": "xxunk", "PAD": "xxpad", "BOS": "xxbos", "EOS": "xxeos", "FLD": "xxfld", "TK_REP": "xxrep", "TK_WREP": "xxwrep", "TK_UP": "xxup", "TK_MAJ": "xxmaj",
}  # fmt: skip
TEXTS = [*(name for name, why in WHY.items() if why is _TEXT), *TOKENS]
__all__ = [*(name for name in WHY if name not in TEXTS), "rank0_first"]  # pyright: ignore[reportUnsupportedDunderAll]

# What has no module here, and what to do about it.
STAY_OUT = {
    "fastai.vision.gan": "networks that generate pictures stay out of burnish: libraries made for them (diffusers ...) do that better today.",
    "fastai.medical": "DICOM files and fastai's medical texts stay out of burnish. Pictures out of DICOM files, as arrays or PNG files, can be used as any others.",
    "fastai.fp16_utils": "learn.to_fp16() does what this module was for; bf16 is used by itself where the device has it.",
}


class _Absent(type):
    """Of a class that says at its first use why it isn't there."""

    why: str

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{cls.__name__}: {cls.why}")

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise NotImplementedError(f"{cls.__name__}.{name}: {cls.why}")


def rank0_first(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls a function; with one process nothing has to wait for it."""
    return func(*args, **kwargs)


def __getattr__(name: str) -> Any:
    if name not in WHY:
        raise AttributeError(name)
    return _Absent(name, (), {"why": WHY[name], "__doc__": f"Not there: {WHY[name]}", "__module__": __name__})

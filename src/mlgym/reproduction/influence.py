"""Which packages and environment variables decide the bits of a result, and which cannot.

Where nobody knows, a variable counts as one that does, and a package as one that does not: variables are recorded only
because they have to do with numbers, packages because they are installed.
"""

from __future__ import annotations

import re
from typing import Final

_PACKAGES: Final = frozenset(
    """
    mlgym torch torchvision torchaudio torchmetrics torchdata torchao torchrl torchtune tensordict torch-geometric
    triton pytorch-triton functorch numpy scipy scikit-learn pandas polars pyarrow numba numexpr llvmlite
    cupy jax jaxlib tensorflow keras xgboost lightgbm catboost statsmodels mkl mkl-service intel-openmp tbb openblas
    pillow opencv-python opencv-python-headless opencv-contrib-python scikit-image imageio albumentations kornia
    datasets transformers tokenizers sentencepiece accelerate peft timm einops diffusers bitsandbytes flash-attn
    xformers deepspeed lightning pytorch-lightning soundfile librosa nltk spacy gensim gymnasium av decord webdataset
    """.split()  # noqa: SIM905 - one long list reads better as text
)
_PACKAGE_PREFIXES: Final = ("nvidia-", "pillow-", "cupy-", "torch-", "torchvision-", "polars-")
_HARMLESS_VARIABLES: Final = re.compile(
    r"""
      MLGYM_\w+ | SLURM_\w+ | TORCH_(HOME|LOGS\w*|HUB\w*|EXTENSIONS_DIR|SHOW_\w+|CPP_LOG_LEVEL|DISTRIBUTED_DEBUG)
    | TORCH_NCCL_(ASYNC_ERROR_HANDLING|BLOCKING_WAIT|DEBUG\w*|DUMP\w*|ENABLE\w*|HEARTBEAT\w*|TRACE\w*)
    | CUDA_(VISIBLE_DEVICES|DEVICE_ORDER|HOME|PATH|ROOT|CACHE\w*|LAUNCH_BLOCKING|MODULE_LOADING|VERSION)
    | NCCL_(DEBUG\w*|SOCKET_\w+|IB_\w+|ASYNC_ERROR_HANDLING|TIMEOUT) | PYTORCH_(NVML\w+|\w*ALLOC_CONF|KERNEL_CACHE\w*)
    | (DNNL|ONEDNN|MKL|CUBLAS|CUDNN)_(VERBOSE|LOG\w*) | KMP_(SETTINGS|WARNINGS|VERSION|STACKSIZE)
    | OMP_(DISPLAY_\w+|STACKSIZE)
    | KMP_(DUPLICATE_LIB_OK|INIT_AT_FORK)  # scikit-learn sets both where it is imported
    | TORCHINDUCTOR_CACHE_DIR  # torch sets it itself, late and in this process only
    """,
    re.VERBOSE,
)


def normalized(package: str) -> str:
    """Gives the name of a package as indexes compare it: `Scikit_Learn` is `scikit-learn`."""
    return re.sub(r"[-_.]+", "-", package).lower()


def package_changes_bits(package: str) -> bool:
    """Gives whether another version of a package may give other numbers.

    Args:
        package: its name, in any spelling.
    """
    name = normalized(package)
    return name in _PACKAGES or name.startswith(_PACKAGE_PREFIXES)


def variable_changes_bits(name: str) -> bool:
    """Gives whether another value of a recorded environment variable may give other numbers."""
    return _HARMLESS_VARIABLES.fullmatch(name) is None

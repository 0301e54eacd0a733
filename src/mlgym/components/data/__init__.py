"""Data: datasets, operations on them, and loaders that give batches."""

from mlgym.components.data.adapted_loader import AdaptedLoader, as_loader
from mlgym.components.data.augment import augment
from mlgym.components.data.class_counts import class_counts
from mlgym.components.data.class_weights import balanced_class_weights
from mlgym.components.data.columns import column_of
from mlgym.components.data.cut_loader import sharded
from mlgym.components.data.data_loaders import data_loaders
from mlgym.components.data.encode_features import encode_features
from mlgym.components.data.fingerprint import Fingerprint, fingerprint, order_digest
from mlgym.components.data.fold_split import fold_split
from mlgym.components.data.folds import (
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    PredefinedFolds,
    StratifiedGroupKFold,
    StratifiedKFold,
)
from mlgym.components.data.hugging_face import HuggingFaceData
from mlgym.components.data.image_folder import ImageFolder
from mlgym.components.data.image_sets import TrainAndTest, cifar10, fashion_mnist, mnist
from mlgym.components.data.labels import labels_of, targets_of
from mlgym.components.data.loader import Loader, TensorLoader
from mlgym.components.data.operations import (
    concat,
    filter_labels,
    in_memory,
    map_labels,
    one_hot_targets,
    select,
    shuffle,
    subset,
)
from mlgym.components.data.order import Order
from mlgym.components.data.sample_sets import breast_cancer, diabetes, digits, iris, wine
from mlgym.components.data.shard import EveryNth, Shard, SliceOfEach
from mlgym.components.data.shuffle_folds import (
    GroupShuffleSplit,
    LastRows,
    ShuffleSplit,
    StratifiedShuffleSplit,
    TimeSeriesSplit,
)
from mlgym.components.data.splits import random_split, stratified_split
from mlgym.components.data.standardize import standardize
from mlgym.components.data.table import TableData, table
from mlgym.components.data.tensor_data import TensorData
from mlgym.components.data.worker_loader import WorkerLoader

__all__ = [
    "AdaptedLoader",
    "EveryNth",
    "Fingerprint",
    "GroupKFold",
    "GroupShuffleSplit",
    "HuggingFaceData",
    "ImageFolder",
    "KFold",
    "LastRows",
    "LeaveOneGroupOut",
    "LeaveOneOut",
    "Loader",
    "Order",
    "PredefinedFolds",
    "Shard",
    "ShuffleSplit",
    "SliceOfEach",
    "StratifiedGroupKFold",
    "StratifiedKFold",
    "StratifiedShuffleSplit",
    "TableData",
    "TensorData",
    "TensorLoader",
    "TimeSeriesSplit",
    "TrainAndTest",
    "WorkerLoader",
    "as_loader",
    "augment",
    "balanced_class_weights",
    "breast_cancer",
    "cifar10",
    "class_counts",
    "column_of",
    "concat",
    "data_loaders",
    "diabetes",
    "digits",
    "encode_features",
    "fashion_mnist",
    "filter_labels",
    "fingerprint",
    "fold_split",
    "in_memory",
    "iris",
    "labels_of",
    "map_labels",
    "mnist",
    "one_hot_targets",
    "order_digest",
    "random_split",
    "select",
    "sharded",
    "shuffle",
    "standardize",
    "stratified_split",
    "subset",
    "table",
    "targets_of",
    "wine",
]

"""Events: what they are, the log that keeps them, and the state of a run as a fold over it."""

from mlgym.events.codec import MAX_LINE_BYTES, decode, encode
from mlgym.events.fold import ExperimentState, RunState, fold
from mlgym.events.log import EventLog, Recovery, has_writer
from mlgym.events.log_sink import LogSink
from mlgym.events.producer import Producer
from mlgym.events.read import LoggedEvent, follow_log, read_log
from mlgym.events.records import (
    CheckpointRecord,
    DigestRecord,
    LogLine,
    MetricHistory,
    MetricPoint,
    Progress,
    TableRecord,
)
from mlgym.events.sink import EventSink, MemorySink, NullSink
from mlgym.events.torn import TornPiece, read_torn, torn_path
from mlgym.events.types import (
    CheckpointDeleted,
    CheckpointSaved,
    Digest,
    Environment,
    EvaluationResult,
    Event,
    ExperimentConfig,
    ExperimentStatus,
    JobStatus,
    Log,
    LossScore,
    MetricScore,
    MetricTable,
    Payload,
    RunFinished,
    RunStarted,
    SystemMetrics,
    finite,
)

__all__ = [
    "MAX_LINE_BYTES",
    "CheckpointDeleted",
    "CheckpointRecord",
    "CheckpointSaved",
    "Digest",
    "DigestRecord",
    "Environment",
    "EvaluationResult",
    "Event",
    "EventLog",
    "EventSink",
    "ExperimentConfig",
    "ExperimentState",
    "ExperimentStatus",
    "JobStatus",
    "Log",
    "LogLine",
    "LogSink",
    "LoggedEvent",
    "LossScore",
    "MemorySink",
    "MetricHistory",
    "MetricPoint",
    "MetricScore",
    "MetricTable",
    "NullSink",
    "Payload",
    "Producer",
    "Progress",
    "Recovery",
    "RunFinished",
    "RunStarted",
    "RunState",
    "SystemMetrics",
    "TableRecord",
    "TornPiece",
    "decode",
    "encode",
    "finite",
    "fold",
    "follow_log",
    "has_writer",
    "read_log",
    "read_torn",
    "torn_path",
]

"""What a run's numbers depend on beside its config: versions, code, hardware, settings."""

from mlgym.execution.environment.capture import capture_environment, recorded_command
from mlgym.execution.environment.hardware import usable_cores
from mlgym.execution.environment.packages import package_versions
from mlgym.execution.environment.user_modules import code_files, code_hashes

__all__ = ["capture_environment", "code_files", "code_hashes", "package_versions", "recorded_command", "usable_cores"]

"""Launches a run: makes its folder, writes down how it was launched, runs its experiments."""

from __future__ import annotations

import shutil
from collections.abc import Container, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from mlgym.config import Document, Point
from mlgym.events import EventLog, RunStarted
from mlgym.execution.driver import Driver, Places, Remaining, RunSummary, Watch
from mlgym.execution.environment import package_versions
from mlgym.execution.journal import Journal, Observer
from mlgym.execution.main_module import main_script_of, refuse_launch_while_importing
from mlgym.execution.options import RunOptions, WorkerCode
from mlgym.execution.output.text_logs import TextLogs
from mlgym.execution.run_record import CONFIG_FILE, ENVIRONMENT_FILE, record_of, write_record
from mlgym.execution.shared_devices import refuse_unshared
from mlgym.tracking import RunFolder, create_run_folder
from mlgym.tracking.delivery import delivering
from mlgym.tracking.places import claim_place


def launch(
    document: Document,
    space: Sequence[Point],
    options: RunOptions,
    *,
    command: Sequence[str],
    observer: Observer | None = None,
    on_event: Watch | None = None,
    skip: Container[int] = (),
    code: WorkerCode | None = None,
) -> RunSummary:
    """Runs all experiments of a checked config and gives how they ended.

    SIGINT, SIGTERM and SIGUSR1 end the run at the experiments' next step boundaries, a second one at once; this needs
    the main thread, elsewhere signals do what they did.

    Args:
        document: the config as written.
        space: what it unfolds to, the point of each experiment by its id.
        options: how to run it.
        command: how it was called, to be written down.
        observer: is shown the state of the run as it changes.
        on_event: is shown every event as it comes, and says True to end the run as SIGINT would.
        skip: experiments that need not run.
        code: what workers run; MLgym's own experiments by default.

    Raises:
        ConfigError: the config does not go with several devices per experiment.
        RunError: the run cannot start, or cannot go on at all; an experiment that fails raises nothing.
        EventLogError: the event log cannot be opened.
    """
    refuse_launch_while_importing()
    refuse_unshared(document, options.devices_per_experiment)
    main_script = main_script_of(document.data) if options.executor != "inline" else None
    with Places.opened(options, document, code, main_script) as places, ExitStack() as opened:
        folder = create_run_folder(options.storage.absolute(), options.run_id)
        with _nothing_left_on_failure(folder):
            text_logs = TextLogs(options.text_logging_path / folder.run_id) if options.text_logging_path else None
            log = opened.enter_context(EventLog.open(folder.log_path))
            journal = Journal(
                log, folder.run_id, text_logs=text_logs, observer=observer, eager=options.executor == "inline"
            )
            driver = Driver(document, space, options, folder, journal, places)
            versions, environment = package_versions(), driver.environment(command)
            record = record_of(
                document,
                options,
                command=command,
                num_slots=len(places.slots),
                threads=places.threads,
                versions=versions,
            )
            folder.write_text(CONFIG_FILE, document.text)
            write_record(folder, record)
            folder.write_json(ENVIRONMENT_FILE, environment)
            opening = driver.opening(RunStarted, command, versions)
            if options.checkpoint_place is not None:
                claim_place(options.checkpoint_place, folder.run_id, options.hubs.rest_endpoint, is_new=True)
        with delivering(folder, options.delivery, journal.warn_soon):
            notes = [str(warning) for warning in getattr(space, "warnings", ())]
            return driver.run(opening, environment, Remaining(settled=skip), notes=notes, on_event=on_event)


@contextmanager
def _nothing_left_on_failure(folder: RunFolder) -> Iterator[None]:
    """Removes the folder of a new run that cannot begin: without a first event it would be a run of nothing."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder.path, ignore_errors=True)
        raise

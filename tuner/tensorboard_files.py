"""A study as files that TensorBoard reads: a run for each trial, with its curves, and the table of hyperparameters.

Owns the layout of the folder; names of curves are those that MLflow shows. Imports the `tensorboard` package, which is an
extra, and no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from tuner.domain.space import CategoricalParameter, FloatParameter, IntParameter, Scalar
from tuner.tracking import names
from tuner.wire import ReportOut, StudyOut, TrialOut


def write(folder: Path, study: StudyOut, trials: Iterable[tuple[TrialOut, list[ReportOut]]]) -> int:
    """Writes a study into a folder that is empty or not there.

    Returns:
        How many trials were written: those that were ever started.
    """
    domains = {name: _domain(parameter) for name, parameter in (study.spec.search_space or {}).items()}
    _write_events(folder, [_event(study.created_at, 0, _config(study, domains))])
    count = 0
    for trial, reports in trials:
        if trial.started_at is not None:
            _write_events(
                folder / names.trial_run(trial.number), _events(study, trial, trial.started_at, reports, domains)
            )
            count += 1
    return count


def _write_events(folder: Path, events: Iterable[Event]) -> None:
    writer = EventFileWriter(str(folder))
    for event in events:
        writer.add_event(event)
    writer.close()


def _events(
    study: StudyOut, trial: TrialOut, started_at: datetime, reports: list[ReportOut], domains: Mapping[str, Any]
) -> Iterator[Event]:
    values = {name: _value(value, domains.get(name)) for name, value in trial.params.items()}
    start = hparams.hparams_pb(values, trial_id=names.trial_run(trial.number), start_time_secs=started_at.timestamp())
    yield _event(started_at, 0, start)
    rounds = study.spec.evaluation.rounds
    for report in reports:
        curves = [
            (*names.curve(metric, fold=report.fold, step=report.step, rounds=rounds), value)
            for metric, value in report.metrics.items()
        ]
        for name, step, value in curves:
            yield _event(report.reported_at, step, _scalar(name, value))
    if trial.finished_at is None:
        return
    for metric, value in (trial.metrics or {}).items():
        name = names.final(metric, external=study.spec.is_external)
        yield _event(trial.finished_at, trial.best_step or 0, _scalar(name, value))
    for index, value in enumerate(trial.values or []):
        yield _event(trial.finished_at, trial.best_step or 0, _scalar(names.objective(study.spec, index), value))
    yield _event(trial.finished_at, 0, _end(trial, trial.finished_at))


def _event(moment: datetime, step: int, summary: Summary) -> Event:
    return Event(wall_time=moment.timestamp(), step=step, summary=summary)


def _scalar(name: str, value: float) -> Summary:
    return Summary(value=[Summary.Value(tag=name, simple_value=value)])


# ---- the table of hyperparameters ------------------------------------------------------------------------------------


def _config(study: StudyOut, domains: Mapping[str, Any]) -> Summary:
    """Its columns: what is searched, and the objectives."""
    objectives = [names.objective(study.spec, index) for index in range(len(study.spec.objectives or []))]
    return hparams.hparams_config_pb(
        hparams=[hparams.HParam(name, domain) for name, domain in domains.items()],
        metrics=[hparams.Metric(name) for name in objectives],
        time_created_secs=study.created_at.timestamp(),
    )


def _domain(parameter: FloatParameter | IntParameter | CategoricalParameter) -> Any:
    if isinstance(parameter, IntParameter):
        return hparams.IntInterval(parameter.low, parameter.high)
    if isinstance(parameter, FloatParameter):
        return hparams.RealInterval(parameter.low, parameter.high)
    choices = parameter.choices
    if all(isinstance(choice, bool) for choice in choices):
        return hparams.Discrete(choices)
    numbers = [float(choice) for choice in choices if isinstance(choice, int | float) and not isinstance(choice, bool)]
    return hparams.Discrete(numbers if len(numbers) == len(choices) else [str(choice) for choice in choices])


def _value(value: Scalar, domain: Any) -> bool | float | str:
    """A sampled value as its column has it: TensorBoard's columns are of one type."""
    return str(value) if value is None or (domain is not None and domain.dtype is str) else value


def _end(trial: TrialOut, finished_at: datetime) -> Summary:
    has_result = trial.state in {"complete", "pruned"}
    status = api_pb2.STATUS_SUCCESS if has_result else api_pb2.STATUS_FAILURE
    info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=finished_at.timestamp())
    data = plugin_data_pb2.HParamsPluginData(session_end_info=info)
    value = Summary.Value(
        tag=metadata.SESSION_END_INFO_TAG,
        metadata=metadata.create_summary_metadata(data),
        tensor=metadata.NULL_TENSOR,
    )
    return Summary(value=[value])

"""The tables, in PostgreSQL's schema `tuner`; the migrations build exactly these.

Owns names, types, keys and CHECKs. Attributes that Optuna writes are `text` holding Python's JSON, since JSONB reorders
keys and refuses NaN. Counters on a study (`n_*`) change only with its row locked, so budgets hold at every commit.
"""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from tuner.domain.states import FINISHED, AttemptState, FinalState, StudyEnd, StudyState, TrialState

SCHEMA = "tuner"

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    },
)

Timestamp = DateTime(timezone=True)
NOW = text("now()")
EMPTY = text("'{}'")
ZERO = text("0")
FALSE = text("false")


def _one_of(column: str, states: type[StrEnum]) -> str:
    return f"{column} in ({', '.join(repr(str(state)) for state in states)})"


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=ZERO)


_FINISHED = f"state in ({', '.join(repr(str(state)) for state in sorted(FINISHED))})"

datasets = Table(
    "datasets",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),  # from 1
    Column("folder", Uuid, nullable=False, unique=True),  # in the artifact folder: datasets/<folder>/…
    Column("files_digest", Text, nullable=False),  # of files and source: what is cached, and uploaded again, goes by it
    Column("digest", Text, nullable=False),  # of the rows, as read
    Column("size_bytes", BigInteger, nullable=False),
    Column("source", Text, nullable=False),  # what its owner said, as JSON
    Column("about", Text, nullable=False),  # what inspection found, as JSON: info and notes
    Column("created_at", Timestamp, nullable=False, server_default=NOW),
    UniqueConstraint("name", "version"),
    UniqueConstraint("name", "files_digest"),
    CheckConstraint("version >= 1", "version"),
)

dataset_profiles = Table(
    "dataset_profiles",
    metadata,
    Column("dataset_id", BigInteger, ForeignKey(datasets.c.id, ondelete="CASCADE"), primary_key=True),
    Column("profile", Text, nullable=False),  # as JSON
)

dataset_names = Table(
    "dataset_names",
    metadata,
    Column("name", Text, primary_key=True),
    Column("last_version", Integer, nullable=False),  # also of deleted ones: name@version never means other files
)

studies = Table(
    "studies",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("spec", Text),  # the resolved StudySpec as JSON; NULL: made through Optuna's storage, served to no worker
    Column("facts", Text, nullable=False, server_default=EMPTY),  # data set digest, task, split sizes, trainer version
    Column("trainer", Text),  # name@version, matched by claims
    Column(
        "dataset_id", BigInteger, ForeignKey(datasets.c.id)
    ),  # an uploaded one; no action: it cannot be deleted then
    Column("directions", ARRAY(Text), nullable=False),
    Column("state", Text, nullable=False),
    Column("end_reason", Text),  # set when nothing new starts any more
    Column("priority", Integer, nullable=False, server_default=ZERO),
    Column("budget_trials", Integer),
    Column("max_parallel", Integer),
    Column("budget_hours", Double),  # with extensions
    Column("deadline", Timestamp),  # first claim + budget_hours; moved on by pauses
    Column("paused_at", Timestamp),
    Column("idle_s", Double, nullable=False, server_default=ZERO),  # paused, or ended before it was extended
    Column("user_attrs", Text, nullable=False, server_default=EMPTY),
    Column("system_attrs", Text, nullable=False, server_default=EMPTY),
    _count("n_created"),  # also the next trial's number
    _count("n_live"),  # trials with a running attempt
    _count("n_complete"),
    _count("n_pruned"),
    _count("n_failed"),
    _count("n_cancelled"),
    Column("finish_seq", BigInteger, nullable=False, server_default=ZERO),  # the last one given out
    Column("best_number", Integer),  # one objective: the best complete trial that keeps the constraints
    Column("best_value", Double),
    Column("best_finish_seq", BigInteger),
    Column("is_exhausted", Boolean, nullable=False, server_default=FALSE),  # a finite search space has no further point
    # what had ended the study before it went on, and must not end it again at once:
    _count("n_forgiven"),  # failed trials that count no more for budget.max_failures
    Column(
        "patience_from", BigInteger, nullable=False, server_default=ZERO
    ),  # finish_seq; budget.no_improvement's start
    Column("is_past_target", Boolean, nullable=False, server_default=FALSE),  # budget.target counts no more
    Column("created_at", Timestamp, nullable=False, server_default=NOW),
    Column("started_at", Timestamp),
    Column("ended_at", Timestamp),
    Column("experiment_id", Text),  # MLflow's
    Column("parent_run_id", Text),
    Column("published_at", Timestamp),  # its end, in MLflow
    CheckConstraint(_one_of("state", StudyState), "state"),
    CheckConstraint(f"end_reason is null or {_one_of('end_reason', StudyEnd)}", "end_reason"),
    CheckConstraint(
        "(end_reason is not null) = (state in ('finalizing', 'completed', 'failed', 'cancelled'))", "ends_for_a_reason"
    ),
    CheckConstraint("(ended_at is not null) = (state in ('completed', 'failed', 'cancelled'))", "ended_at"),
    CheckConstraint("(paused_at is not null) = (state = 'paused')", "paused_at"),
    CheckConstraint("n_forgiven between 0 and n_failed", "n_forgiven"),
    CheckConstraint("budget_trials is null or n_created <= budget_trials", "budget"),
    CheckConstraint(
        "n_live >= 0 and n_complete >= 0 and n_pruned >= 0 and n_failed >= 0 and n_cancelled >= 0 "
        "and n_live + n_complete + n_pruned + n_failed + n_cancelled <= n_created",
        "counts",
    ),
    Index("ix_studies_dataset_id", "dataset_id"),
    Index("ix_studies_claimable", "priority", postgresql_where=text("state in ('queued', 'running', 'finalizing')")),
)

trials = Table(
    "trials",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("study_id", BigInteger, ForeignKey(studies.c.id, ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("params", Text, nullable=False, server_default=EMPTY),  # name -> value
    Column("distributions", Text, nullable=False, server_default=EMPTY),  # name -> Optuna's JSON of the distribution
    Column("user_attrs", Text, nullable=False, server_default=EMPTY),
    Column("system_attrs", Text, nullable=False, server_default=EMPTY),  # fixed_params: an enqueued point
    Column("objective_values", ARRAY(Double)),
    Column("metrics", Text),  # the result's, as JSON
    Column("best_step", Integer),
    Column("n_attempts", Integer, nullable=False, server_default=ZERO),  # those used up
    Column("retry_of", BigInteger, ForeignKey("tuner.trials.id", ondelete="SET NULL")),
    Column("created_at", Timestamp, nullable=False, server_default=NOW),
    Column("started_at", Timestamp),
    Column("finished_at", Timestamp),
    Column("finish_seq", BigInteger),
    Column("end_reason", Text),
    Column("error", Text),  # what went wrong, with the traceback where there is one
    Column("end_detail", Text),  # the facts of its end, as JSON: `tuner.domain.ends`
    Column("run_id", Text),  # MLflow's
    Column("model_id", Text),  # of its model, MLflow's
    Column("published_at", Timestamp),  # everything of it is in MLflow
    Column("figures_at", Timestamp),  # its figures are in MLflow; 1970: asked for, and drawn next
    UniqueConstraint("study_id", "number"),
    CheckConstraint(_one_of("state", TrialState), "state"),
    CheckConstraint(f"(finished_at is not null) = ({_FINISHED})", "finished_at"),
    CheckConstraint(f"(finish_seq is not null) = ({_FINISHED})", "finish_seq"),
    Index("ix_trials_finish_seq", "study_id", "finish_seq"),
    Index("ix_trials_retry_of", "retry_of", postgresql_where=text("retry_of is not null")),
    Index(
        "ix_trials_unfinished",
        "study_id",
        "number",
        postgresql_where=text("state in ('waiting', 'running')"),
    ),
    Index("ix_trials_unpublished", "study_id", postgresql_where=text("published_at is null")),
    Index(
        "ix_trials_undrawn",
        "id",
        postgresql_where=text("state = 'complete' and (figures_at is null or figures_at = '1970-01-01 00:00:00+00')"),
    ),
)

finals = Table(
    "finals",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("study_id", BigInteger, ForeignKey(studies.c.id, ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),  # from 1; more than one where the study went on after it
    Column(
        "trial_id", BigInteger, ForeignKey(trials.c.id, ondelete="CASCADE"), nullable=False
    ),  # whose configuration it is
    Column("epochs", Integer),  # to train; NULL: as many as the trial
    Column("state", Text, nullable=False),
    Column("n_attempts", Integer, nullable=False, server_default=ZERO),  # those used up
    Column("metrics", Text),  # the result's, as JSON
    Column("error", Text),  # why it failed, for its user
    Column("created_at", Timestamp, nullable=False, server_default=NOW),
    Column("finished_at", Timestamp),
    Column("run_id", Text),  # MLflow's
    Column("model_name", Text),  # in MLflow's registry
    Column("model_version", Text),
    Column("published_at", Timestamp),  # everything of it is in MLflow
    UniqueConstraint("study_id", "number"),
    CheckConstraint(_one_of("state", FinalState), "state"),
    CheckConstraint("(finished_at is not null) = (state in ('complete', 'failed', 'cancelled'))", "finished_at"),
    CheckConstraint("(metrics is not null) = (state = 'complete')", "metrics"),
    Index("ix_finals_trial_id", "trial_id"),
    Index("ix_finals_one_open", "study_id", unique=True, postgresql_where=text("state in ('waiting', 'running')")),
    Index(
        "ix_finals_unpublished",
        "study_id",
        postgresql_where=text("published_at is null and state in ('complete', 'failed')"),
    ),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("trial_id", BigInteger, ForeignKey(trials.c.id, ondelete="CASCADE")),
    Column("final_id", BigInteger, ForeignKey(finals.c.id, ondelete="CASCADE")),  # of a study's final fit, and no trial
    Column("number", Integer, nullable=False),  # from 1
    Column("state", Text, nullable=False),
    Column("worker_id", Text, nullable=False),
    Column("request_id", Text, nullable=False),  # the claim's: asked again, it gets the same answer
    Column("lease_s", Double, nullable=False),
    Column("lease_until", Timestamp, nullable=False),
    Column("started_at", Timestamp, nullable=False, server_default=NOW),
    Column("ended_at", Timestamp),
    Column("end_reason", Text),
    Column("end_detail", Text),  # of a running one: why the pruner wants it to end
    Column("error", Text),
    Column("result_digest", Text),  # of the accepted result: the same again gets 200
    Column("resumed_from_step", BigInteger),  # the epoch whose checkpoint it went on from
    UniqueConstraint("trial_id", "number"),
    UniqueConstraint("final_id", "number"),
    CheckConstraint("(trial_id is null) <> (final_id is null)", "of_one"),
    CheckConstraint(_one_of("state", AttemptState), "state"),
    CheckConstraint("(ended_at is not null) = (state <> 'running')", "ended_at"),
    Index("ix_attempts_one_live", "trial_id", unique=True, postgresql_where=text("state = 'running'")),
    Index("ix_attempts_one_result", "trial_id", unique=True, postgresql_where=text("state = 'succeeded'")),
    Index("ix_attempts_one_live_final", "final_id", unique=True, postgresql_where=text("state = 'running'")),
    Index("ix_attempts_one_final_result", "final_id", unique=True, postgresql_where=text("state = 'succeeded'")),
    Index("ix_attempts_lease_until", "lease_until", postgresql_where=text("state = 'running'")),
    Index("ix_attempts_request_id", "worker_id", "request_id"),
)

reports = Table(
    "reports",
    metadata,
    Column("trial_id", BigInteger, ForeignKey(trials.c.id, ondelete="CASCADE"), primary_key=True),
    Column("fold", Integer, primary_key=True),  # from 0
    Column("step", BigInteger, primary_key=True),  # epochs finished, from 1; 0: the result of a whole fold
    Column("attempt_id", Uuid),
    Column("pruner_step", BigInteger),  # Optuna's step; NULL: not shown to the pruner
    Column("value", Double),  # the first objective's; NaN is allowed, as Optuna allows it
    Column("metrics", Text, nullable=False, server_default=EMPTY),
    Column("reported_at", Timestamp, nullable=False, server_default=NOW),
    Column("published", Boolean, nullable=False, server_default=FALSE),
    Index("ix_reports_unpublished", "trial_id", postgresql_where=text("not published")),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("attempt_id", Uuid, ForeignKey(attempts.c.id, ondelete="CASCADE"), primary_key=True),
    Column("path", Text, primary_key=True),  # inside the attempt's folder, for example model/MLmodel
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False, server_default=NOW),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),  # the order in which they came
    Column("trial_id", BigInteger, ForeignKey(trials.c.id, ondelete="CASCADE"), nullable=False),
    Column("fold", Integer, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),  # in the artifact folder: checkpoints/<trial id>/<sha256>
    Column("size_bytes", BigInteger, nullable=False),
    Column("attempt_id", Uuid, nullable=False),  # that saved it
    Column("created_at", Timestamp, nullable=False, server_default=NOW),
    UniqueConstraint("trial_id", "sha256"),
)

log_chunks = Table(
    "log_chunks",
    metadata,
    Column("attempt_id", Uuid, ForeignKey(attempts.c.id, ondelete="CASCADE"), primary_key=True),
    Column("position", BigInteger, primary_key=True),  # bytes of the attempt's log before it
    Column("text", Text, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("devices", Text, nullable=False),  # JSON list, one per slot: cpu, cuda:0 …
    Column("trainers", Text, nullable=False),  # JSON list of name@version
    Column("started_at", Timestamp, nullable=False, server_default=NOW),
    Column("seen_at", Timestamp, nullable=False, server_default=NOW),
    Column("left_at", Timestamp),  # it drained and claims no more
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", Text, primary_key=True),
    Column("body_digest", Text, nullable=False),
    Column("study_id", BigInteger, ForeignKey(studies.c.id, ondelete="CASCADE"), nullable=False),
    Column("move", Text),  # NULL: the study was submitted with it
    Column("answer", Text),  # what the move's first request was told beside the study, as JSON
    Column("created_at", Timestamp, nullable=False, server_default=NOW),
)

answered_calls = Table(
    "answered_calls",
    metadata,
    Column("holder", Text, primary_key=True),  # the process that called
    Column("request_id", Text, primary_key=True),
    Column("call_digest", Text, nullable=False),
    Column("answer", Text),  # JSON; NULL within the transaction that answers, and never after
    Column("created_at", Timestamp, nullable=False, server_default=NOW),
)

duties = Table(
    "duties",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", Timestamp, nullable=False),
)

discards = Table(
    "discards",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("ref", Text, nullable=False),  # an experiment's id, or an attempt's
    CheckConstraint("kind in ('experiment', 'attempt')", "kind"),
)

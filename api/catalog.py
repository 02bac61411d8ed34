"""`/trainers`: what a study may name."""

from __future__ import annotations

from fastapi import APIRouter

from trainers import catalog
from tuner.wire import HyperparameterOut, TrainerList, TrainerOut

router = APIRouter(tags=["catalog"])


@router.get("/trainers", summary="Trainers, their hyperparameters and default search spaces")
def trainers() -> TrainerList:
    """Ours, and those that are installed where the control plane runs; `broken` names those that cannot be used."""
    return TrainerList(items=[_trainer(trainer) for trainer in catalog.trainers().values()], broken=catalog.broken())


def _trainer(trainer: catalog.Trainer) -> TrainerOut:
    return TrainerOut(
        name=trainer.name,
        version=trainer.version,
        summary=trainer.summary,
        kinds=list(trainer.kinds),
        tasks=list(trainer.tasks),
        metrics=dict(trainer.metrics),
        search_space=trainer.default_space,
        hyperparameters=[
            HyperparameterOut(
                name=each.name,
                type=each.type,
                default=each.default,
                low=each.low,
                high=each.high,
                log=each.log,
                choices=list(each.choices) or None,
                doc=each.doc,
            )
            for each in catalog.hyperparameters(trainer)
        ],
    )

"""A run's jobs through the queue: one batch, the same one whenever the same is asked for."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from sqlalchemy import Engine

from barber.catalogue import jobs, portraits, workers
from barber.catalogue.db import open_engine, transaction
from barber.catalogue.jobs import AlreadySubmitted, NewJob
from barber.catalogue.status import JobStatus
from barber.catalogue.store import Store
from barber.errors import InputError, SettingsError
from barber.evaluation.cases import Experiment, Material, used
from barber.evaluation.methods import Chosen, reconstructions
from barber.labels import Region
from barber.plan import StageKind
from barber.settings import Settings
from barber.spec import JobSpec, NoiseMode, PortraitKey, RegionEdit, StageParams
from barber.standalone.home import Home
from barber.standalone.supervisor import Supervisor, UpOptions, check_bundle
from barber.standalone.watch import follow

BATCH = "evaluation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A system to run on: one that was there, or one that we started."""

    settings: Settings
    engine: Engine
    console: str  # its address; empty when unknown
    tend: Callable[[], None]  # called again and again while we wait
    ours: bool  # whether it ends with us


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What became of the jobs."""

    batch_id: int
    results: Mapping[str, str]  # digest of the result's PNG by job
    failures: Mapping[str, str]  # the reason by job
    ran: Mapping[str, int]  # stages by kind that did their work here
    reused: Mapping[str, int]  # stages by kind that another job had done


@contextmanager
def installation(
    options: UpOptions, environ: Mapping[str, str], console: Console
) -> Iterator[Installation]:
    """The system of BARBER_DATABASE_URL, else the one that runs on the home, else our own.

    Raises:
        SettingsError: Ours cannot start, or does not stay up.
        CheckpointError: The bundle is unknown or damaged.
    """
    settings, address = running_system(options.home, environ)
    if settings is not None:
        wanted = check_bundle(options.bundle or settings.bundle, settings.bundles_dir)
        settings = replace(settings, bundle=wanted)
        console.print(f"Using the system that runs {address}".rstrip(), highlight=False)
        with _opened(settings) as engine:
            yield Installation(
                settings=settings, engine=engine, console=address, tend=lambda: None, ours=False
            )
        return
    with Supervisor(options, environ=environ, say=console.print) as supervisor:
        console.print(f"Watch it in a browser: {supervisor.console}", highlight=False)

        def tend() -> None:
            supervisor.tend()
            if supervisor.stopping:
                raise KeyboardInterrupt

        with _opened(supervisor.settings) as engine:
            yield Installation(
                settings=supervisor.settings,
                engine=engine,
                console=supervisor.console,
                tend=tend,
                ours=True,
            )


@contextmanager
def _opened(settings: Settings) -> Iterator[Engine]:
    engine = open_engine(settings, application=BATCH)
    try:
        yield engine
    finally:
        engine.dispose()


def running_system(home: Path, environ: Mapping[str, str]) -> tuple[Settings | None, str]:
    """The settings and the console's address of a system that runs already; None without one.

    Raises:
        SettingsError: A variable is malformed.
    """
    if environ.get("BARBER_DATABASE_URL"):
        return Settings.from_env(environ), ""
    try:
        running = Home(home).find_running()
    except SettingsError:
        return None, ""
    settings = Settings.from_env({**environ, "BARBER_DATABASE_URL": running.database_url})
    place = Home(home).path
    return replace(settings, home=place, bundle=running.bundle), running.console


def planned(
    material: Material, chosen: Chosen, *, bundle: str, noise: NoiseMode, seed: int
) -> list[NewJob]:
    """Every job of a run: each portrait reconstructed, and each case by each method.

    Args:
        material: Portraits and cases.
        chosen: The methods.
        bundle: Digest of the bundle.
        noise: Of the specs.
        seed: Of the specs.
    """

    def spec(params: StageParams, identity: PortraitKey, *regions: RegionEdit) -> JobSpec:
        return JobSpec(
            identity=identity,
            regions=regions,
            bundle=bundle,
            params=params,
            noise=noise,
            seed=seed,
        )

    found = [
        NewJob(
            name=Experiment.RECONSTRUCTION.job(material.names[key], name),
            spec=spec(params, key),
        )
        for name, params in reconstructions(chosen).items()
        for key in used(material.cases)
    ]
    for case in material.cases:
        edit = RegionEdit(labels=(Region.HAIR,), structure=case.hair, appearance=case.colour)
        found += [
            NewJob(
                name=Experiment.TRANSFER.job(case.name, name),
                spec=spec(params, case.identity, edit),
            )
            for name, params in chosen.params.items()
        ]
    return found


def run_batch(
    system: Installation, material: Material, wanted: Sequence[NewJob], console: Console
) -> Finished:
    """Queues the jobs, or finds the batch in which they were queued before, and waits for them.

    Raises:
        KeyboardInterrupt: Somebody stopped it; the same run goes on from there.
        InputError: The jobs cannot be queued.
    """
    batch_id = submitted(system, material, wanted, console)
    if not system.ours:
        _tell_missing(system, wanted[0].spec.bundle, console)
    follow(
        system.engine,
        batch_id,
        console=console,
        footer=f"{system.console}batches/{batch_id}" if system.console else "",
        tend=system.tend,
    )
    return _collect(system.engine, batch_id, len(wanted))


def submitted(
    system: Installation, material: Material, wanted: Sequence[NewJob], console: Console
) -> int:
    """The batch of these jobs: the one in which they were queued before, while it has them all.

    Raises:
        InputError: The jobs cannot be queued.
    """
    facts = [[job.name, job.spec.to_json()] for job in wanted]
    for again in itertools.count():
        told = [BATCH, facts, again] if again else [BATCH, facts]
        text = json.dumps(told, sort_keys=True, separators=(",", ":"))
        key = hashlib.sha256(text.encode()).hexdigest()
        try:
            batch_id = _submit(system, material, wanted, key)
        except AlreadySubmitted as error:
            with transaction(system.engine) as session:
                left = jobs.batch(session, error.batch_id).total
            if left == len(wanted):
                console.print(f"batch {error.batch_id} goes on", highlight=False)
                return error.batch_id
            lost = f"batch {error.batch_id} has {left} of its {len(wanted)} jobs left"
            console.print(f"{lost}: they are queued again", highlight=False)
        else:
            console.print(f"batch {batch_id}: {len(wanted)} jobs", highlight=False)
            return batch_id
    raise AssertionError  # the count has no end


def _submit(system: Installation, material: Material, wanted: Sequence[NewJob], key: str) -> int:
    settings = system.settings
    store = Store(settings.store_dir)
    with transaction(system.engine) as session:
        for portrait in dict.fromkeys(each for job in wanted for each in job.spec.portraits):
            portraits.keep(session, store, material.pictures[portrait])
        return jobs.submit(
            session,
            name=BATCH,
            jobs=wanted,
            bundle_name=settings.bundle,
            idempotency_key=key,
            submitted_by=BATCH,
            max_errors=settings.max_errors,
            max_losses=settings.max_losses,
        )


def _tell_missing(system: Installation, bundle: str, console: Console) -> None:
    """Says which worker is missing where nobody holds the bundle; the jobs wait for one."""
    with transaction(system.engine) as session:
        if bundle not in workers.held_bundles(session):
            told = workers.lack(system.settings.bundle, bundle, workers.listed(session))
            console.print(f"the batch {told}", highlight=False, soft_wrap=True)


def _collect(engine: Engine, batch_id: int, count: int) -> Finished:
    with transaction(engine) as session:
        rows = jobs.jobs(session, batch_id=batch_id, limit=count)[::-1]
        stages = [stage for row in rows for stage in jobs.job(session, row.id).stages]
    if all(row.status is not JobStatus.SUCCEEDED for row in rows):
        raise InputError(
            f"no job of batch {batch_id} succeeded; the first says: {rows[0].error}; "
            f"see all with `barber jobs --batch {batch_id}`"
        )
    done = [stage for stage in stages if stage.finished_at is not None]
    return Finished(
        batch_id=batch_id,
        results={row.name: row.result_file for row in rows if row.result_file},
        failures={
            row.name: row.error or f"the job is {row.status}"
            for row in rows
            if row.status is not JobStatus.SUCCEEDED
        },
        ran=_counted(stage.kind for stage in done if not stage.reused and stage.attempts),
        reused=_counted(stage.kind for stage in done if stage.reused),
    )


def _counted(kinds: Iterator[StageKind]) -> dict[str, int]:
    return {str(kind): count for kind, count in sorted(Counter(kinds).items())}

"""A chaos run from its first job to its report."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine, text

from barber.catalogue.db import open_engine
from barber.chaos.brokers import SERVERS, BrokerServer
from barber.chaos.checker import check_leftovers, check_records
from barber.chaos.faults import FaultKind
from barber.chaos.guest import guest_schema, server_pid
from barber.chaos.report import ChaosReport, count_dice, read_record
from barber.chaos.rules import ChaosRules
from barber.chaos.storm import Say, Storm, asks
from barber.chaos.toys import submit_toys
from barber.errors import SettingsError
from barber.settings import Settings
from barber.standalone.supervisor import Supervisor, UpOptions

DRAIN_S = 60.0  # for what is still on its way when the last job has ended
# Short times, so that hours of bad luck fit into minutes; budgets that bad luck does not use up.
QUICK: Mapping[str, str] = {
    "BARBER_TICK_S": "0.2",
    "BARBER_LEASE_S": "3",
    "BARBER_GRACE_S": "6",
    "BARBER_SWEEP_S": "1",
    "BARBER_BACKOFF_S": "0.2",
    "BARBER_PROGRESS_S": "0.5",
    "BARBER_SNAPSHOT_S": "0.01",
    "BARBER_WINDOW": "32",
    "BARBER_MAX_ERRORS": "20",
    "BARBER_MAX_LOSSES": "50",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosOptions:
    """What is run, where, and how hard it is hit."""

    home: Path  # of the run; a new or empty directory
    jobs: int = 200
    people: int = 40  # portraits that the jobs share
    seed: int = 0
    workers: int = 2
    every_s: float = 4.0  # mean pause between two faults
    limit_s: float = 3600.0  # a run that takes longer has failed
    database_url: str | None = field(default=None, repr=False)  # somebody's; None: one of its own
    broker: str = field(default="filesystem", repr=False)  # or rabbitmq, redis, or an address
    kinds: Collection[FaultKind] = tuple(FaultKind)
    kill_servers: bool = False  # somebody's Postgres and broker as well
    rules: ChaosRules  # for the stages and the messages


def run_chaos(options: ChaosOptions, environ: Mapping[str, str], say: Say) -> ChaosReport:
    """Runs toy jobs through the real system while it is killed at random, then looks at the record.

    Of the environment's settings only those of time and budgets count (those in `QUICK`): what
    they say of places would lead to somebody's own catalogue.

    Raises:
        SettingsError: The home is in use, or the system does not start.
    """
    refuse_home(options.home)
    began = time.monotonic()
    with _lodged(options, environ) as (given, broker):
        up = UpOptions(home=options.home, port=0, workers=options.workers, rules=options.rules)
        with Supervisor(up, environ=given, say=lambda _: None) as supervisor:
            settings = supervisor.settings
            engine = open_engine(settings, application="chaos")
            people, seed = options.people, options.seed
            submit_toys(engine, settings, count=options.jobs, people=people, seed=seed)
            say(f"{options.jobs} jobs are queued; seed {seed}")
            storm = Storm(
                supervisor,
                broker=broker,
                strangers=strangers(options, settings),
                kinds=options.kinds,
                every_s=options.every_s,
                seed=seed,
                say=say,
            )
            done = storm.rage_until(lambda: _open_jobs(engine) == 0, limit_s=options.limit_s)
            storm.end()
            _drain(engine, supervisor)
            findings = check_records(engine, settings.store_dir)
            record = read_record(engine, lease_s=settings.lease_s)
            engine.dispose()
    findings += check_leftovers(options.home.absolute())
    if not done:
        say(f"not done after {options.limit_s:.0f} s")
    return ChaosReport(
        seed=options.seed,
        seconds=time.monotonic() - began,
        lease_s=settings.lease_s,
        blows=storm.counts,
        dice=count_dice(options.home / "logs"),
        record=record,
        findings=tuple(findings),
    )


@contextmanager
def _lodged(
    options: ChaosOptions, environ: Mapping[str, str]
) -> Iterator[tuple[dict[str, str], BrokerServer | None]]:
    """The environment that leads to the run's own room, and its broker's server if it has one."""
    name = f"barber_chaos_{secrets.token_hex(4)}"
    kept = {k: v for k, v in environ.items() if not k.startswith("BARBER_") or k in QUICK}
    given = {**QUICK, **kept, "BARBER_QUEUE_PREFIX": f"{name}-"}
    broker: BrokerServer | None = None
    with ExitStack() as stack:
        if options.database_url is not None:
            url = stack.enter_context(guest_schema(options.database_url, name))
            given["BARBER_DATABASE_URL"] = url
        if options.broker in SERVERS:
            broker = stack.enter_context(SERVERS[options.broker](options.home / "broker-server"))
            given["BARBER_BROKER_URL"] = broker.url
        elif options.broker != "filesystem":
            given["BARBER_BROKER_URL"] = options.broker
            stack.callback(_delete_queues, {**given, "BARBER_HOME": str(options.home)})
        yield given, broker


def _delete_queues(environ: Mapping[str, str]) -> None:
    """Takes the run's queues off somebody's broker; the queue's own programs know how."""
    environ = {"BARBER_DATABASE_URL": "postgresql+psycopg2://", **environ}
    command = [sys.executable, "-m", "workers.queues", "--delete"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise SettingsError(done.stderr.strip() or "the run's queues stay on the broker")


def strangers(options: ChaosOptions, settings: Settings) -> Callable[[], dict[str, int]]:
    """Looks up the processes of servers that are not the run's own, when they may be hit.

    Raises:
        SettingsError: One is on another machine, or nothing that listens there can be killed.
    """
    urls: dict[str, str] = {}
    if options.kill_servers and options.database_url is not None:
        urls["postgres"] = settings.database_url
    if options.kill_servers and "://" in options.broker:
        urls["broker"] = options.broker

    def look() -> dict[str, int]:
        found = {name: server_pid(url) for name, url in urls.items()}
        return {name: pid for name, pid in found.items() if pid is not None}

    # Before anything is hit: a run that cannot do what was asked for proves nothing.
    hidden = sorted(urls.keys() - look().keys())
    if hidden:
        raise SettingsError(
            f"--kill-servers finds no process of yours behind your {' and '.join(hidden)}: run as "
            "the user whose servers they are (or root), or leave --kill-servers out"
        )
    return look


def _open_jobs(engine: Engine) -> int:
    with engine.connect() as connection:
        query = text("SELECT count(*) FROM job WHERE finished_at IS NULL")
        return int(connection.scalar(query) or 0)


def _drain(engine: Engine, supervisor: Supervisor) -> None:
    """Waits for messages on their way, attempts that will be fenced, snapshots to be swept."""
    query = text(
        "SELECT (SELECT count(*) FROM outbox) + "
        "(SELECT count(*) FROM attempt WHERE outcome IS NULL)"
    )

    def is_quiet() -> bool:
        with engine.connect() as connection:
            left = connection.scalar(query)
        return not left and not any(supervisor.settings.store_dir.glob("snapshots/*"))

    deadline = time.monotonic() + DRAIN_S
    while time.monotonic() < deadline and not asks(is_quiet):
        supervisor.tend()
        time.sleep(0.2)


def refuse_home(home: Path) -> None:
    """Raises SettingsError when a run would mix with something else."""
    if home.exists() and any(home.iterdir()):
        raise SettingsError(f"{home} is not empty: a chaos run wants a directory of its own")

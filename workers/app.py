"""The Celery application: queues, serializer, broker and result backend, from `Settings`.

A message carries ids only. What a job is, which stages are due and what came out lies in the
catalogue; a message that is lost, doubled or late changes nothing.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from kombu import Exchange, Queue

from barber.settings import Settings
from workers.limits import Limits
from workers.memory import NO_LIMIT_KIB

GPU = "gpu"  # the stages, a queue for each bundle: one worker process per device
CPU = "cpu"  # fan-in and the chords' own bookkeeping
QUEUES = (GPU, CPU)

STAGE_TASK = "barbershop.stage.{kind}"
FAN_IN_TASK = "barbershop.fan_in"

BUNDLE_DIGITS = 16  # of a bundle's digest, in the name of its queue
QUEUE_EXPIRES_S = 7 * 86400  # RabbitMQ forgets the queue of a bundle that nobody uses for so long

# Seconds that an unacknowledged Redis message stays out: beyond the longest stage.
REDIS_VISIBILITY_S = 6 * 3600
AMQP_SCHEMES = ("amqp", "amqps", "pyamqp")
EXCHANGE = "barbershop"
BROKER_FOLDERS = ("messages", "control")


def create_app(settings: Settings, *, patience_s: float | None = None) -> Celery:
    """A Celery application of its own, not made the process's current one.

    Args:
        settings: The settings.
        patience_s: How long the broker may take to answer before it counts as away; None, for
            whoever waits for messages, is for ever.
    """
    app = Celery("barbershop", set_as_current=False, include=["workers.tasks"])
    scheme, prefix = urlsplit(settings.broker_url).scheme, settings.queue_prefix
    app.conf.update(
        _messages(prefix),
        barbershop_prefix=prefix,
        task_queues=[_queue(scheme, prefix, name) for name in QUEUES],
        **_execution(settings),
        **_broker(settings, patience_s),
        **_results(settings),
    )
    return app


def stage_queue(bundle: str) -> str:
    """The queue of the stages on a bundle, named by its digest; "" is a bundle nobody named."""
    return f"{GPU}-{bundle[:BUNDLE_DIGITS]}" if bundle else GPU


def add_stage_queue(app: Celery, bundle: str) -> str:
    """Makes the queue of a bundle known to an application, its spawned children included.

    Returns:
        The queue's name.
    """
    prefix, name = str(app.conf["barbershop_prefix"]), stage_queue(bundle)
    if prefix + name not in app.amqp.queues:
        scheme = urlsplit(app.conf.broker_url).scheme
        queue = _queue(scheme, prefix, name, expires_s=QUEUE_EXPIRES_S)
        app.conf.task_queues = [*app.conf.task_queues, queue]
        app.amqp.queues.add(queue)
    return prefix + name


def cpu_queue(app: Celery) -> str:
    """The queue of the fan-in and the chords' own bookkeeping."""
    return str(app.conf["barbershop_prefix"]) + CPU


def _queue(scheme: str, prefix: str, name: str, expires_s: int | None = None) -> Queue:
    """A queue; on RabbitMQ one that is copied to its nodes and outlives the loss of one.

    Such a queue knows no global prefetch, so a message with a delay, as the chords' poller is, must
    wait in the broker and not in a worker. Celery arranges that for topic exchanges alone.
    """
    name = prefix + name
    if scheme not in AMQP_SCHEMES:
        return Queue(name, Exchange(name, "direct"), routing_key=name)
    kind: dict[str, Any] = {"x-queue-type": "quorum"}
    if expires_s is not None:  # as an argument, which has kombu declare it before every message
        kind["x-expires"] = expires_s * 1000
    exchange = Exchange(prefix + EXCHANGE, "topic")
    return Queue(name, exchange, routing_key=name, queue_arguments=kind)


def _messages(prefix: str) -> dict[str, Any]:
    names = [prefix + name for name in QUEUES]
    gpu, cpu = names
    return {
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "task_default_queue": cpu,
        "task_default_exchange": cpu,
        "task_default_routing_key": cpu,
        "task_create_missing_queues": False,
        "task_routes": {
            STAGE_TASK.format(kind="*"): {"queue": gpu},
            FAN_IN_TASK: {"queue": cpu},
            "celery.chord_unlock": {"queue": cpu},
        },
        "control_exchange": f"{prefix}celery",
        # The outbox repeats what the broker refuses; a publisher must not wait long.
        "task_publish_retry_policy": {
            "max_retries": 2,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 0.4,
        },
    }


def _execution(settings: Settings) -> dict[str, Any]:
    return {
        "task_annotations": {
            STAGE_TASK.format(kind=kind): {"time_limit": seconds or None}
            for kind, seconds in Limits.of(settings).hard_s.items()
        },
        "task_acks_late": True,
        "task_reject_on_worker_lost": False,  # the lease decides, else a poison stage loops
        "task_acks_on_failure_or_timeout": True,
        "task_store_errors_even_if_ignored": False,
        "worker_prefetch_multiplier": 1,
        "worker_consumer": "workers.consumer:Consumer",  # records what it refuses
        "worker_pool_start_method": "spawn",  # CUDA cannot be used again after a fork
        "worker_proc_alive_timeout": 180,  # loading torch and the bundle counts against it
        "worker_lost_wait": 1.0,  # a killed child's late result is of no interest: see the lease
        "worker_max_tasks_per_child": settings.child_tasks or None,
        "worker_max_memory_per_child": settings.child_memory_mb * 1024 or NO_LIMIT_KIB,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_soft_shutdown_timeout": settings.drain_s,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
    }


def _broker(settings: Settings, patience_s: float | None) -> dict[str, Any]:
    scheme = urlsplit(settings.broker_url).scheme
    if scheme.startswith("redis"):
        options: dict[str, Any] = {
            "visibility_timeout": REDIS_VISIBILITY_S,
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            "global_keyprefix": settings.queue_prefix,
        }
        if patience_s is not None:
            options["socket_timeout"] = patience_s
    elif scheme == "filesystem":
        return _folder_broker(settings)
    else:
        options = {"confirm_publish": True}
        if patience_s is not None:
            options |= {"read_timeout": patience_s, "write_timeout": patience_s}
    return {"broker_url": settings.broker_url, "broker_transport_options": options}


def _folder_broker(settings: Settings) -> dict[str, Any]:
    messages, control = (settings.broker_dir.absolute() / name for name in BROKER_FOLDERS)
    for folder in (messages, control):
        folder.mkdir(parents=True, exist_ok=True)
    return {
        "broker_url": "filesystem://localhost",  # without a host, kombu warns that it assumes one
        "broker_transport": "workers.folder:Transport",
        "broker_transport_options": {
            "data_folder_in": str(messages),
            "data_folder_out": str(messages),
            "control_folder": str(control),
            "polling_interval": 0.05,
        },
    }


def _results(settings: Settings) -> dict[str, Any]:
    return {
        "result_backend": f"workers.results.ResultBackend+{settings.database_url}",
        "result_expires": 86400,
        "result_chord_retry_interval": 1.0,
        # A program that only publishes must not touch the result tables.
        "database_create_tables_at_setup": False,
    }


@cache
def _environment_app() -> Celery:
    return create_app(Settings.from_env(os.environ))


def __getattr__(name: str) -> Celery:
    """Builds `app` from the environment when somebody asks for it (`celery -A workers.app`)."""
    if name == "app":
        return _environment_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

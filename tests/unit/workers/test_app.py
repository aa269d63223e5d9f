"""The Celery application made from settings."""

import pickle
import subprocess
import sys

import pytest

from barber.settings import Settings
from workers.app import add_stage_queue, create_app

DATABASE = "postgresql+psycopg2://u:p@127.0.0.1:1/none"


@pytest.fixture
def settings(tmp_path):
    return Settings(database_url=DATABASE, home=tmp_path / "home")


def test_messages_and_results_are_json_alone(settings):
    conf = create_app(settings).conf

    assert conf.task_serializer == conf.result_serializer == "json"
    assert conf.accept_content == conf.result_accept_content == ["json"]


def test_stages_go_to_the_gpu_queue_and_the_chords_own_tasks_to_the_cpu_queue(settings):
    router = create_app(settings).amqp.router

    def queue(task):
        return router.route({}, task)["queue"].name

    assert queue("barbershop.stage.align") == "gpu"
    assert queue("barbershop.fan_in") == queue("celery.chord_unlock") == "cpu"


def test_late_acknowledgement_leaves_repeating_to_the_lease(settings):
    conf = create_app(settings).conf

    assert conf.task_acks_late
    assert not conf.task_reject_on_worker_lost
    assert conf.worker_prefetch_multiplier == 1
    assert conf.worker_pool_start_method == "spawn"


def test_folder_broker_lies_in_the_home_folder(settings):
    app = create_app(settings)

    with app.connection_for_write() as connection:
        options = connection.transport_options
        assert connection.transport_cls == "workers.folder:Transport"
    assert options["data_folder_in"] == options["data_folder_out"]
    assert options["data_folder_in"].startswith(str(settings.broker_dir))
    assert {path.name for path in settings.broker_dir.iterdir()} == {"messages", "control"}


@pytest.mark.parametrize(
    ("url", "option"),
    [("amqp://u:p@broker//", "confirm_publish"), ("redis://broker/0", "visibility_timeout")],
)
def test_other_brokers_get_their_own_options_and_no_folder(tmp_path, url, option):
    settings = Settings(database_url=DATABASE, broker_url=url, home=tmp_path / "home")

    assert option in create_app(settings).conf.broker_transport_options
    assert not settings.broker_dir.exists()


def test_app_survives_the_way_into_a_spawned_child(settings):
    app = create_app(settings)
    app.conf.update(barbershop_worker="gpu-0", barbershop_queues=["gpu"])

    child = pickle.loads(pickle.dumps(app))

    assert child.conf["barbershop_worker"] == "gpu-0"
    assert child.conf.result_backend == app.conf.result_backend
    assert {queue.name for queue in child.conf.task_queues} == {"gpu", "cpu"}


def test_parents_and_publishers_stay_without_torch():
    modules = ", ".join(
        f"workers.{name}" for name in ("app", "client", "chords", "tasks", "worker", "dispatcher")
    )
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_pool_children_load_no_torchvision_which_would_double_their_start():
    modules = "barber.pipeline, barber.models.bundle, workers.bench"
    code = f"import sys, {modules}; sys.exit(bool({{'torchvision', 'lpips'}} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_rabbitmq_copies_the_queues_and_keeps_delays_itself(tmp_path):
    settings = Settings(database_url=DATABASE, broker_url="amqp://u:p@broker//", home=tmp_path)
    app = create_app(settings)
    add_stage_queue(app, "a" * 64)

    queues = app.amqp.queues.values()
    assert {queue.name for queue in queues} == {"gpu", "cpu", "gpu-" + "a" * 16}
    assert {queue.queue_arguments["x-queue-type"] for queue in queues} == {"quorum"}
    assert {queue.exchange.type for queue in queues} == {"topic"}


def test_other_brokers_have_plain_queues(settings):
    queues = create_app(settings).amqp.queues.values()

    assert {queue.exchange.type for queue in queues} == {"direct"}
    assert {bool(queue.queue_arguments) for queue in queues} == {False}


def test_a_queue_that_rabbitmq_may_forget_is_declared_before_every_message(tmp_path):
    """A cached declaration would have its messages dropped once the queue is gone."""
    settings = Settings(database_url=DATABASE, broker_url="amqp://u:p@broker//", home=tmp_path)
    app = create_app(settings)
    queues = app.amqp.queues

    assert not queues[add_stage_queue(app, "a" * 64)].can_cache_declaration
    assert queues["cpu"].can_cache_declaration

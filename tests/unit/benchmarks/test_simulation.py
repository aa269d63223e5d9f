"""The simulation where the answer is known: a plant that one part of it limits, by arithmetic."""

from __future__ import annotations

import random

import pytest
import simpy

from tests.benchmarks.simulation import Busy, Costs, Plant, Work, simulate

KINDS = ("target", "reconstruct", "align", "blend")
WIDE = {"window": 400, "pause_s": 0.1, "relay_rows": 1_000, "heartbeat_every_s": 1e9}
WORK = Work(stage_s=dict.fromkeys(KINDS, 2.0), spread="fixed")


def test_workers_are_the_limit_when_all_else_is_free() -> None:
    outcome = simulate(Plant(workers=4, **WIDE), WORK, Costs(), stages=2_400)
    assert outcome.jobs_per_hour == pytest.approx(4 * 3600 / WORK.job_s, rel=0.01)
    assert outcome.workers == pytest.approx(1.0, abs=0.01)
    assert outcome.limit() == "workers"


def test_time_beside_computing_slows_a_worker_by_as_much() -> None:
    outcome = simulate(Plant(workers=4, **WIDE), WORK, Costs(worker_s=0.5), stages=2_400)
    assert outcome.stages_per_s == pytest.approx(4 / 2.5, rel=0.01)
    assert outcome.workers == pytest.approx(0.8, abs=0.01)


def test_dispatcher_is_the_limit_when_handing_out_is_slow() -> None:
    plant = Plant(workers=200, **WIDE)
    outcome = simulate(plant, WORK, Costs(hand_out_s=0.05), stages=6_000)
    # Of six stages it hands out five: the blend is offered by the fan-in.
    assert outcome.stages_per_s == pytest.approx(6 / 5 / 0.05, rel=0.05)
    assert outcome.limit() == "dispatcher"


def test_two_dispatchers_hand_out_twice_as_fast() -> None:
    costs = Costs(hand_out_s=0.05)
    one, two = (
        simulate(Plant(workers=200, dispatchers=n, **WIDE), WORK, costs, stages=6_000)
        for n in (1, 2)
    )
    assert two.stages_per_s / one.stages_per_s == pytest.approx(2, rel=0.05)


def test_database_is_the_limit_when_claims_are_slow() -> None:
    plant = Plant(workers=400, cores=2, **WIDE)
    costs = Costs(claim_s=0.04, finish_s=0.04)
    outcome = simulate(plant, WORK, costs, stages=6_000)
    assert outcome.stages_per_s == pytest.approx(2 / 0.08, rel=0.05)
    assert outcome.limit() == "Postgres"


def test_heartbeats_take_their_share_of_the_database() -> None:
    plant = Plant(workers=20, cores=2, **{**WIDE, "heartbeat_every_s": 1.0})
    outcome = simulate(plant, WORK, Costs(heartbeat_s=0.01), stages=2_400)
    assert outcome.database == pytest.approx(20 * outcome.workers * 0.01 / 2, rel=0.05)


def test_relay_is_the_limit_when_a_tick_publishes_little() -> None:
    plant = Plant(workers=200, **{**WIDE, "pause_s": 1.0, "relay_rows": 5})
    outcome = simulate(plant, WORK, Costs(), stages=3_000)
    # Three rows a job (target, chord, blend), six stages.
    assert outcome.stages_per_s == pytest.approx(5 * 6 / 3, rel=0.08)


def test_window_is_the_limit_when_it_is_small() -> None:
    one = simulate(Plant(workers=50, window=1, pause_s=0.1), WORK, Costs(), stages=600)
    many = simulate(Plant(workers=50, window=40, pause_s=0.1), WORK, Costs(), stages=600)
    # With one stage out at a time only a chord's two branches ever run side by side.
    assert one.stages_per_s < 2 / 2.0
    assert many.stages_per_s > 10 * one.stages_per_s


def test_same_seed_gives_the_same_outcome_and_another_seed_another() -> None:
    work = Work(stage_s=dict.fromkeys(KINDS, 2.0))
    same = [simulate(Plant(workers=3), work, Costs(), stages=300, seed=s) for s in (1, 1, 2)]
    assert same[0] == same[1] != same[2]


def test_resource_of_several_servers_waits_as_erlang_says() -> None:
    """M/M/2 at 75 % load: a wait of rho^2 / (1 - rho^2) service times, 9/7."""
    env, dice = simpy.Environment(), random.Random(7)
    busy, waits = Busy(env, 2), []

    def customer() -> object:
        arrived, service = env.now, dice.expovariate(1.0)
        yield from busy.hold(service)
        waits.append(env.now - arrived - service)

    def arrivals() -> object:
        for _ in range(40_000):
            yield env.timeout(dice.expovariate(1.5))
            env.process(customer())

    env.process(arrivals())
    env.run()
    assert sum(waits) / len(waits) == pytest.approx(9 / 7, rel=0.1)
    assert busy.held_s / 2 / env.now == pytest.approx(0.75, rel=0.03)

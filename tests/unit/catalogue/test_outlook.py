from barber.catalogue.outlook import Share, shared_out


def share(number, person, work_s):
    return Share(batch_id=number, person=person, work_s=work_s)


def test_people_share_the_workers_equally_and_each_persons_batches_their_part():
    ann, bob, carla = share(1, "ann", 100.0), share(2, "bob", 100.0), share(3, "bob", 300.0)
    shared_out([ann, bob, carla], 2)
    # ann has a worker of the two until 100 s; bob's batches half a worker each until then
    assert ann.done_s == 100
    # then bob's first, half done, has a whole one, and its end leaves both to the other
    assert bob.done_s == 150
    assert carla.done_s == 150 + 200 / 2


def test_what_is_alone_has_all_workers():
    alone = share(1, "ann", 90.0)
    shared_out([alone], 3)
    assert alone.done_s == 30


def test_nothing_to_do_is_done_now():
    nothing, other = share(1, "ann", 0.0), share(2, "ann", 8.0)
    shared_out([nothing, other], 4)
    assert (nothing.done_s, other.done_s) == (0, 2)

"""A session goes from one link to another while it is open: nothing is lost, and nothing comes twice."""

from __future__ import annotations

from helpers.by_hand import Driver, only, sent, seqs

from fanwire.client import actions as do
from fanwire.client.message import Message
from fanwire.client.message_queue import MessageQueue
from fanwire.state import ConnectionState


def counts(actions: list[do.Action]) -> list[int]:
    """The counts of the reports."""
    return [frame["payload"]["count"] for frame in sent(actions) if frame["type"] == "received"]


def test_the_query_has_the_present_count_and_asks_for_no_new_session() -> None:
    driver = Driver().up()
    driver.joined()
    driver.message(1)
    assert driver.machine.switching() == {"session": "S", "received": "2", "must_resume": "1"}


def test_only_an_open_session_can_be_switched() -> None:
    driver = Driver()
    assert driver.machine.switching() is None
    driver.open()
    assert driver.machine.switching() is None
    driver.welcome()
    assert driver.machine.switching() is not None
    driver.lose()
    assert driver.machine.switching() is None
    # The attempt was given up with the connection.
    driver.machine.switched(driver.now)
    assert driver.machine.state is ConnectionState.RECONNECTING


def test_what_came_meanwhile_comes_again_and_is_dropped() -> None:
    driver = Driver().up()
    driver.joined()
    driver.message(1)
    driver.machine.switching()
    assert seqs(driver.message(2)) == [2]
    assert seqs(driver.message(3)) == [3]
    driver.machine.switched(driver.now)
    assert driver.take() == []
    assert driver.welcome(resumed=True, received=1) == []
    assert driver.machine.state is ConnectionState.OPEN
    assert driver.message(2) == driver.message(3) == []
    # They are not counted again.
    assert driver.machine.session.received == 4
    assert seqs(driver.message(4)) == [4]


def test_messages_that_are_not_counted_are_handled_between_repeated_ones() -> None:
    driver = Driver().up()
    driver.joined()
    driver.machine.switching()
    driver.message(1)
    driver.machine.switched(driver.now)
    driver.welcome(resumed=True, received=1)
    assert [frame["type"] for frame in sent(driver.hear("ping"))] == ["pong", "received"]
    assert driver.message(1) == []


def test_own_messages_that_the_server_lacks_are_sent_again() -> None:
    driver = Driver().up()
    first = driver.machine.commands.publish("r", 1)
    driver.take()
    driver.machine.switching()
    second = driver.machine.commands.publish("r", 2)
    assert [frame["id"] for frame in sent(driver.take())] == [second]
    driver.machine.switched(driver.now)
    # Before the welcome the client does not know what the server has.
    third = driver.machine.commands.publish("r", 3)
    assert driver.take() == []
    assert [frame["id"] for frame in sent(driver.welcome(resumed=True, received=1))] == [second, third]
    assert driver.hear("reply", re=first, room="r", seq=1) == [do.ResolveCall(first, 1)]


def test_no_count_is_told_beyond_the_query_while_a_link_is_dialled() -> None:
    driver = Driver().up(ack_frames=2)
    driver.joined()
    driver.machine.switching()
    for seq in range(1, 9):
        assert counts(driver.message(seq)) == []
    assert counts(driver.hear("ping")) == [1]
    driver.machine.stayed(driver.now)
    assert counts(driver.take()) == [9]
    assert counts(driver.message(9)) == []
    assert counts(driver.message(10)) == [11]


def test_no_count_is_told_beyond_what_the_new_link_has_brought() -> None:
    driver = Driver().up(ack_frames=2)
    driver.joined()
    driver.machine.switching()
    for seq in range(1, 4):
        driver.message(seq)
    driver.machine.switched(driver.now)
    driver.welcome(resumed=True, received=1, ack_frames=2)
    assert counts(driver.hear("ping")) == [1]
    assert counts(driver.message(1)) == []
    assert counts(driver.message(2)) == [3]
    assert counts(driver.message(3)) == []
    assert counts(driver.message(4)) == [5]


def test_nothing_is_told_as_taken_beyond_what_the_new_link_has_brought() -> None:
    driver = Driver().up(window=400)
    driver.joined(delivery="latest")
    queue = MessageQueue()
    driver.machine.commands.watch("r", queue, has_window=True)
    driver.machine.switching()
    for seq in (1, 2):
        driver.message(seq)
        queue.put(Message(seq, "r", seq), driver.machine.session.total, 100)
        queue.pop()
        queue.release(driver.now)
    driver.machine.switched(driver.now)
    driver.take()
    assert [frame["type"] for frame in sent(driver.welcome(resumed=True, received=1, window=400))] == [
        "received", "ping"
    ]  # fmt: skip
    driver.machine.commands.report("r", driver.now)
    (report,) = sent(driver.take())
    assert report["payload"] == {"count": 1, "taken": {}}
    assert driver.message(1) == []
    # The rest is told as soon as all has come again, because the server may wait for it.
    (report,) = sent(driver.message(2))
    assert report["payload"] == {"count": 3, "taken": {"r": {"count": 3}}}


def test_nothing_is_told_as_taken_beyond_the_query_while_a_link_is_dialled() -> None:
    driver = Driver().up(window=400)
    driver.joined(delivery="latest")
    queue = MessageQueue()
    driver.machine.commands.watch("r", queue, has_window=True)
    driver.machine.switching()
    driver.message(1)
    queue.put(Message(1, "r", 1), driver.machine.session.total, 100)
    queue.pop()
    queue.release(driver.now)
    (_, report) = sent(driver.hear("ping"))
    assert report["payload"] == {"count": 1, "taken": {"r": {"count": 1}}}
    driver.machine.stayed(driver.now)
    # The server may wait for what could not be told, so it is told at once.
    (report,) = sent(driver.take())
    assert report["payload"] == {"count": 2, "taken": {"r": {"count": 2}}}


def test_the_new_link_may_be_lost_before_all_has_come_again() -> None:
    driver = Driver().up()
    driver.joined()
    driver.machine.switching()
    for seq in range(1, 4):
        driver.message(seq)
    driver.machine.switched(driver.now)
    driver.welcome(resumed=True, received=1)
    driver.message(1)
    (connect,) = only(driver.lose(), do.Connect)
    # More was received, but the server has sent no more over the lost link.
    assert connect.query == {"session": "S", "received": "2"}
    driver.open()
    driver.welcome(resumed=True, received=1)
    assert driver.message(2) == driver.message(3) == []
    assert seqs(driver.message(4)) == [4]


def test_the_new_link_may_be_lost_before_its_welcome() -> None:
    driver = Driver().up()
    driver.joined()
    driver.machine.switching()
    driver.message(1)
    driver.machine.switched(driver.now)
    (connect,) = only(driver.lose(), do.Connect)
    assert connect.query == {"session": "S", "received": "1"}
    driver.open()
    assert only(driver.welcome(resumed=True, received=1), do.StateChanged) == [do.StateChanged(ConnectionState.OPEN)]
    assert driver.message(1) == []
    assert seqs(driver.message(2)) == [2]


def test_a_session_may_be_switched_again_before_all_has_come_again() -> None:
    driver = Driver().up()
    driver.joined()
    driver.machine.switching()
    driver.message(1)
    driver.message(2)
    driver.machine.switched(driver.now)
    driver.welcome(resumed=True, received=1)
    driver.message(1)
    query = driver.machine.switching()
    assert query is not None
    assert query["received"] == "2"
    driver.message(2)
    driver.message(3)
    driver.machine.switched(driver.now)
    driver.welcome(resumed=True, received=1)
    assert driver.message(2) == driver.message(3) == []
    assert seqs(driver.message(4)) == [4]


def test_a_server_that_begins_a_new_session_all_the_same() -> None:
    driver = Driver().up()
    driver.joined(seq=5)
    driver.machine.switching()
    driver.message(6)
    driver.machine.switched(driver.now)
    (join,) = sent(driver.welcome(session="T"))
    assert join["type"] == "join"
    assert join["payload"] == {"since": {"epoch": "e", "seq": 6}}
    assert driver.machine.state is ConnectionState.OPEN
    driver.answer_join(join["id"], "r", 6, recovered=True)
    assert seqs(driver.message(7)) == [7]


def test_another_session_than_was_asked_for() -> None:
    driver = Driver().up()
    driver.machine.switching()
    driver.machine.switched(driver.now)
    assert only(driver.welcome(resumed=True, session="T"), do.Drop)


def test_the_heartbeat_begins_again() -> None:
    driver = Driver(heartbeat=5.0).up()
    driver.machine.switching()
    driver.now += 4
    driver.machine.switched(driver.now)
    # The welcome has its own limit.
    assert driver.wait(9.9) == []
    assert only(driver.wait(0.1), do.Drop)


def resumes_from(actions: list[do.Action]) -> str:
    """The count in the query of the next link."""
    (connect,) = only(actions, do.Connect)
    received: str = connect.query["received"]
    return received


def test_the_present_link_is_lost_while_another_is_dialled() -> None:
    driver = Driver().up()
    driver.joined()
    driver.machine.switching()
    driver.message(1)
    # The server may have gone back for the other link, and was told no higher count.
    assert resumes_from(driver.lose()) == "1"
    driver.open()
    driver.welcome(resumed=True, received=1)
    assert driver.message(1) == []
    assert seqs(driver.message(2)) == [2]


def test_the_server_may_have_taken_a_link_that_has_failed_here() -> None:
    driver = Driver().up(ack_frames=3)
    driver.joined()
    driver.machine.switching()
    driver.message(1)
    driver.machine.stayed(driver.now)
    assert resumes_from(driver.lose()) == "1"
    driver.open()
    driver.welcome(resumed=True, received=1, ack_frames=3)
    assert driver.message(1) == []
    # After that welcome it cannot have any more.
    driver.message(2)
    assert resumes_from(driver.lose()) == "3"


def test_a_server_that_was_told_a_higher_count_has_not_gone_back() -> None:
    driver = Driver().up(ack_frames=3)
    driver.joined()
    driver.machine.switching()
    driver.message(1)
    driver.machine.stayed(driver.now)
    assert counts(driver.message(2)) == [3]
    assert resumes_from(driver.lose()) == "3"


def test_a_link_that_comes_late_overtakes_the_present_one() -> None:
    driver = Driver().up(ack_frames=3)
    driver.joined()
    driver.machine.switching()
    driver.message(1)
    driver.machine.stayed(driver.now)
    # What is told over the present link now does not count any more.
    driver.message(2)
    driver.machine.overtaken(driver.now)
    assert resumes_from(driver.take()) == "1"
    driver.open()
    driver.welcome(resumed=True, received=1, ack_frames=3)
    assert driver.message(1) == driver.message(2) == []
    assert seqs(driver.message(3)) == [3]


def test_one_of_the_attempts_before_the_present_link_overtakes_it() -> None:
    driver = Driver().up()
    driver.joined()
    driver.message(1)
    assert resumes_from(driver.lose()) == "2"
    driver.open()
    driver.welcome(resumed=True, received=1)
    driver.message(2)
    driver.machine.overtaken(driver.now)
    assert resumes_from(driver.take()) == "2"


def test_a_client_that_closes_is_not_overtaken() -> None:
    driver = Driver().up()
    driver.machine.close()
    driver.take()
    driver.machine.overtaken(driver.now)
    assert driver.machine.state is ConnectionState.CLOSED

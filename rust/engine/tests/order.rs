//! Many threads publish to many connections: one order, no gap, no missed wakeup.

use std::collections::HashMap;

use super::*;

#[test]
fn every_member_sees_one_order_whichever_threads_publish() {
    const THREADS: u64 = 8;
    const COUNT: u64 = 250;
    let engine = start(2);
    let mut clients: Vec<_> = (0..6).map(|_| member(&engine, "chat")).collect();
    let shards: std::collections::BTreeSet<_> = clients.iter().map(|client| client.conn.shard()).collect();
    assert_eq!((shards.len(), engine.members("chat")), (2, 6));

    let (mut published, seen): (Vec<_>, Vec<_>) = thread::scope(|scope| {
        let engine = &engine;
        let publish = |thread: u64| {
            move || {
                let numbers = (0..COUNT).map(|n| thread * COUNT + n);
                numbers
                    .map(|n: u64| (engine.publish("chat", draft(&n.to_be_bytes()), &[]).unwrap(), n))
                    .collect::<Vec<_>>()
            }
        };
        let publishers: Vec<_> = (0..THREADS).map(|thread| scope.spawn(publish(thread))).collect();
        let readers: Vec<_> = clients
            .iter_mut()
            .map(|client| scope.spawn(move || (0..THREADS * COUNT).map(|_| client.number()).collect::<Vec<_>>()))
            .collect();
        (
            publishers.into_iter().flat_map(|thread| thread.join().unwrap()).collect(),
            readers.into_iter().map(|thread| thread.join().unwrap()).collect(),
        )
    });
    published.sort_unstable();
    assert!(published.iter().map(|&(seq, _)| seq).eq(1..=THREADS * COUNT));
    let expected: Vec<_> = published.iter().map(|&(_, number)| number).collect();
    for numbers in seen {
        assert_eq!(numbers, expected);
    }
    assert_eq!(engine.published(), (THREADS * COUNT, 0));
}

/// Publishes `count` numbers under the keys that `key` returns, while twenty connections join one after the other.
/// Calls `read` with each connection and the number at which it joined.
fn join_while_publishing(count: u64, key: fn(u64) -> u64, read: fn(Client, u64) -> ()) {
    let engine = start(2);
    engine
        .add_rule("q.*", RoomSettings { delivery: Delivery::Latest, max_keys: 10_000, ..RoomSettings::default() })
        .unwrap();
    thread::scope(|scope| {
        let engine = &engine;
        scope.spawn(move || {
            for number in 1..=count {
                let (payload, key) = (number.to_be_bytes(), key(number).to_string());
                let draft = Draft { key: Some(&key), ..draft(&payload) };
                assert_eq!(engine.publish("q.all", draft, &[]).unwrap(), number);
            }
        });
        for nth in 0..20 {
            // The joins depend on how much was published, not on time.
            wait_until("enough was published", || engine.published().0 >= count * nth / 20);
            let client = connect(engine);
            let seq = join(engine, client.conn, "q.all").unwrap();
            scope.spawn(move || read(client, seq));
        }
    });
}

#[test]
fn a_joiner_gets_the_values_then_the_stream_without_gap_or_duplicate() {
    // Each message has its own key, so none is replaced: all must come once and in order.
    join_while_publishing(
        5_000,
        |number| number,
        |mut client, _| {
            for expected in 1..=5_000 {
                assert_eq!(client.number(), expected);
            }
        },
    );
}

#[test]
fn a_joiner_of_few_keys_gets_each_value_once_and_ends_with_the_last() {
    join_while_publishing(
        20_000,
        |number| number % 7,
        |mut client, joined_at| {
            let mut newest = HashMap::new();
            let mut snapshot = 0;
            while newest.values().filter(|&&number| number > 20_000 - 7).count() < 7 {
                let number = client.number();
                let older = newest.insert(number % 7, number);
                assert!(older < Some(number), "{number} after {older:?}");
                snapshot += (number <= joined_at) as u64;
            }
            // At most the newest value of each key comes from before the join; some may be replaced on the way.
            assert!(snapshot <= joined_at.min(7), "{snapshot} values from before the join");
        },
    );
}

/// Queues itself again until told to stop, so that there is always a command.
fn again(queue: Arc<Queue<Command<AnyLink>>>, is_over: Arc<AtomicBool>) {
    if !is_over.load(Relaxed) {
        let next = Arc::clone(&queue);
        // The thread is awake, because this runs on it.
        on_thread(&queue, move || again(next, is_over));
    }
}

#[test]
fn a_blocked_socket_is_looked_at_while_commands_never_cease() {
    let engine = start(1);
    let mut client = member(&engine, "room");
    let is_over = Arc::new(AtomicBool::new(false));
    // This is more than any socket buffer holds, so the connection blocks again and again.
    for number in 0..2_000u64 {
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(1_000, 0);
        engine.publish("room", draft(&payload), &[]).unwrap();
    }
    wait_until("it is blocked", || engine.stats().next().unwrap().blocked.value() > 0);
    let shard = &engine.shards[0];
    let (queue, ends) = (Arc::clone(&shard.queue), Arc::clone(&is_over));
    if on_thread(&shard.queue, move || again(queue, ends)) {
        shard.wake();
    }
    for number in 0..2_000 {
        assert_eq!(client.number(), number);
    }
    is_over.store(true, Relaxed);
}

#[test]
fn those_excepted_and_those_elsewhere_hear_nothing() {
    let engine = start(2);
    let mut clients: Vec<_> = (0..4).map(|_| member(&engine, "a")).collect();
    let mut elsewhere = member(&engine, "b");
    let mut except = [clients[0].conn, clients[3].conn];
    except.sort_unstable();
    engine.publish("a", draft(&1u64.to_be_bytes()), &except).unwrap();
    engine.broadcast(draft(&2u64.to_be_bytes()), &[]).unwrap();
    for (client, expected) in clients.iter_mut().zip([vec![2], vec![1, 2], vec![1, 2], vec![2]]) {
        let numbers: Vec<_> = expected.iter().map(|_| client.number()).collect();
        assert_eq!(numbers, expected);
    }
    assert_eq!(elsewhere.number(), 2);
    engine.leave(elsewhere.conn, "b").unwrap();
    wait_until("it has left", || engine.members("b") == 0);
}

use super::*;
use crate::message::{Delivery, Metadata, Role};
use crate::outbox::tests::reliable;
use crate::protocol::envelope::Kind;

fn joins() -> Joins {
    Joins::new(Arc::new(Budget::new(usize::MAX)))
}

fn seqs(message: &Arc<Message>) -> Vec<u64> {
    message.parts().iter().map(|part| part.seq()).collect()
}

fn batches(joins: &mut Joins, messages: &[Arc<Message>]) -> Vec<Vec<u64>> {
    let mut batcher = Batcher::new(joins, Form::JSON);
    let _ = messages.iter().try_for_each(|message| batcher.add(message));
    let batches = batcher.finish();
    assert!(batches.iter().map(|batch| batch.count).sum::<usize>() <= messages.len());
    batches.iter().map(|batch| seqs(&batch.message)).collect()
}

fn message(role: Role, seq: u64, len: usize) -> Arc<Message> {
    let metadata = Metadata::place(1, seq, Delivery::Reliable);
    Arc::new(Message::new(role, Kind::Text, &vec![b'x'; len], metadata, 0, &Arc::new(Budget::new(usize::MAX))))
}

#[test]
fn those_at_the_same_place_share_what_is_joined() {
    let mut joins = joins();
    let messages: Vec<_> = (0..5).map(reliable).collect();
    let run: Vec<_> = messages.iter().collect();
    let joined = joins.join(&run).unwrap();
    assert_eq!(seqs(&joined), [0, 1, 2, 3, 4]);
    assert!(Arc::ptr_eq(&joined, &joins.join(&run).unwrap()));
    // The first, the last and the length are the same, and something in the middle is not.
    let other = reliable(9);
    let other = joins.join(&[run[0], run[1], &other, run[3], run[4]]).unwrap();
    assert_eq!(seqs(&other), [0, 1, 9, 3, 4]);
    assert_eq!(seqs(&joins.join(&run).unwrap()), [0, 1, 2, 3, 4]);
    assert!(Arc::ptr_eq(run[0], &joins.join(&run[..1]).unwrap()), "nothing to join");
    assert!(joins.join(&[]).is_none());
}

#[test]
fn what_was_joined_before_is_joined_with_its_neighbours() {
    let budget = Arc::new(Budget::new(usize::MAX));
    let mut joins = Joins::new(Arc::clone(&budget));
    let joined = Arc::new(Message::join((1..4).map(reliable).collect(), &budget).unwrap());
    let all = joins.join(&[&reliable(0), &joined, &reliable(4)]).unwrap();
    assert_eq!((seqs(&all), all.count()), (vec![0, 1, 2, 3, 4], 5));
    // What is kept counts, until nobody needs it.
    drop((joined, all));
    assert!(budget.used() > 0);
    joins.clear();
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_whole_message_stands_alone_and_keeps_its_place() {
    let roles = [Role::Data, Role::Event("joined"), Role::Whole, Role::Data, Role::Urgent, Role::Whole, Role::Data];
    let messages: Vec<_> = (0..).zip(roles).map(|(seq, role)| message(role, seq, 10)).collect();
    assert_eq!(batches(&mut joins(), &messages), [vec![0, 1], vec![2], vec![3], vec![4], vec![5], vec![6]]);
}

#[test]
fn batches_are_bounded() {
    let many: Vec<_> = (0..300).map(|seq| message(Role::Data, seq, 1)).collect();
    assert_eq!(batches(&mut joins(), &many).iter().map(Vec::len).collect::<Vec<_>>(), [128, 128, 44]);
    let large: Vec<_> = (0..9).map(|seq| message(Role::Data, seq, 9_000)).collect();
    assert_eq!(batches(&mut joins(), &large), [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7]]);
    let huge: Vec<_> = (0..3).map(|seq| message(Role::Data, seq, 40_000)).collect();
    assert_eq!(batches(&mut joins(), &huge), [[0], [1]]);
}

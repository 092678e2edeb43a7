//! Coalescing: consecutive messages of one room are joined before they go to its members. Queueing, writing and keeping
//! them then costs each member as much as one message. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::budget::Budget;
use crate::message::{Delivery, Message, RoomId};
use crate::outbox::joins::{BYTES_MAX, RUN_MAX};
use crate::protocol::form::Form;
use crate::queues::command::Command;

/// Takes the next command, which may join several. `members` returns the number of members of a room.
pub fn next<L>(
    commands: &mut VecDeque<Command<L>>,
    members: impl Fn(RoomId) -> usize,
    budget: &Arc<Budget>,
) -> Option<Command<L>> {
    let Some(first) = commands.front().and_then(joinable) else {
        return commands.pop_front();
    };
    let room = first.room();
    let mut bytes = 0;
    let run = commands.iter().map_while(joinable).take(RUN_MAX).take_while(|message| {
        bytes += message.frame(Form::RAW).len();
        message.room() == room && message.audience() == first.audience() && bytes <= BYTES_MAX
    });
    let run: Vec<_> = run.map(Arc::clone).collect();
    // Joining copies each message once, which pays only if it goes to several members.
    if run.len() < 2 || members(room) < MEMBERS_MIN {
        return commands.pop_front();
    }
    commands.drain(..run.len());
    Message::join(run, budget).map(|message| Command::Publish { message: Arc::new(message), except: Box::default() })
}

/// Returns the message of a command that may be joined: a reliable message to all members.
fn joinable<L>(command: &Command<L>) -> Option<&Arc<Message>> {
    match command {
        Command::Publish { message, except }
            if except.is_empty() && message.is_data() && message.delivery() == Delivery::Reliable =>
        {
            Some(message)
        }
        _ => None,
    }
}

/// The least number of members for which joining pays.
const MEMBERS_MIN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Metadata, Role};
    use crate::protocol::codec::Codec;
    use crate::protocol::envelope::Kind;
    use crate::protocol::framing::Framing;

    fn publish(room: RoomId, seq: u64, delivery: Delivery, len: usize) -> Command<()> {
        let metadata = Metadata::place(room, seq, delivery);
        let budget = Arc::new(Budget::new(usize::MAX));
        let message = Message::new(Role::Data, Kind::Binary, &vec![seq as u8; len], metadata, 0, &budget);
        Command::Publish { message: Arc::new(message), except: Box::default() }
    }

    /// The numbers in each command after joining.
    fn runs(commands: Vec<Command<()>>, members: usize) -> Vec<Vec<u64>> {
        let mut commands = VecDeque::from(commands);
        let budget = Arc::new(Budget::new(usize::MAX));
        let mut found = Vec::new();
        while let Some(command) = next(&mut commands, |_| members, &budget) {
            found.push(match command {
                Command::Publish { message, .. } => message.parts().iter().map(|part| part.seq()).collect(),
                _ => Vec::new(),
            });
        }
        found
    }

    #[test]
    fn what_goes_to_one_room_in_a_row_is_joined() {
        use Delivery::{DropOldest, Reliable};
        let conn = crate::slots::ConnId::from_u64(1);
        let mut commands: Vec<_> = (1..=3).map(|seq| publish(1, seq, Reliable, 8)).collect();
        commands.push(publish(2, 1, Reliable, 8));
        commands.push(publish(1, 4, Reliable, 8));
        commands.push(publish(1, 5, Reliable, 8));
        commands.push(Command::Gone { conn });
        commands.push(publish(1, 6, DropOldest, 8));
        commands.push(publish(1, 7, DropOldest, 8));
        assert_eq!(runs(commands, 100), [vec![1, 2, 3], vec![1], vec![4, 5], vec![], vec![6], vec![7]]);
    }

    #[test]
    fn not_for_a_few_members_and_not_without_bound() {
        let commands = |len| (0..200).map(|seq| publish(1, seq, Delivery::Reliable, len)).collect();
        assert_eq!(runs(commands(8), MEMBERS_MIN - 1).len(), 200);
        assert_eq!(runs(commands(8), MEMBERS_MIN).iter().map(Vec::len).collect::<Vec<_>>(), [128, 72]);
        assert!(runs(commands(9_000), 100).iter().all(|run| run.len() == 3 || run.len() == 2));
        assert_eq!(runs(commands(40_000), 100).len(), 200);
    }

    #[test]
    fn a_run_is_its_messages_in_a_row_in_every_form_and_gives_its_memory_back() {
        let budget = Arc::new(Budget::new(usize::MAX));
        let part = |seq| {
            let metadata = Metadata { room_name: Some("r".into()), ..Metadata::place(1, seq, Delivery::Reliable) };
            Arc::new(Message::new(Role::Data, Kind::Json, b"{}", metadata, 0, &budget))
        };
        let parts: Vec<_> = (1..=3).map(part).collect();
        let joined = Message::join(parts.clone(), &budget).unwrap();
        for form in [Form::RAW, Form::JSON, Form::MSGPACK] {
            let frames: Vec<_> = parts.iter().map(|part| part.frame(form)).collect();
            assert_eq!(joined.frame(form), frames.concat());
        }
        for form in [Form::JSON, Form::MSGPACK, Form::event_stream(Codec::Json), Form::event_stream(Codec::Msgpack)] {
            let batched = Form { is_batched: true, ..form };
            let array = joined.frame(batched).to_vec();
            // As if the envelopes had come in one array, in one frame.
            let content = |message: &Message, form: Form| {
                let frame = message.frame(Form::plain(form.codec, Framing::WebSocket));
                frame[if frame[1] == 126 { 4 } else { 2 }..].to_vec()
            };
            let contents: Vec<_> = parts.iter().map(|part| content(part, form)).collect();
            let expected = match form.codec {
                Codec::Json => [b"[", &*contents.join(&b','), b"]"].concat(),
                _ => [&[0x93], &*contents.concat()].concat(),
            };
            assert_eq!(array, &*form.frame(&expected));
            assert_eq!(parts[0].frame(batched), parts[0].frame(form));
            assert_eq!(joined.cost(batched), joined.cost(form));
        }
        // Bytes without envelopes have no array.
        let raw = Form { is_batched: true, ..Form::RAW };
        assert_eq!(joined.frame(raw), joined.frame(Form::RAW));
        assert_eq!((joined.count(), joined.seq()), (3, 3));
        drop((joined, parts));
        assert_eq!(budget.used(), 0);
    }
}

//! Published messages in every form, one by one and coalesced.
#![no_main]

mod document;
mod forms;
mod wire;

use std::collections::VecDeque;
use std::sync::Arc;

use arbitrary::Arbitrary;
use fanwire::budget::Budget;
use fanwire::message::{Delivery, Message, Metadata, Role};
use fanwire::protocol::envelope::Kind;
use fanwire::protocol::form::Form;
use fanwire::queues::command::Command;
use fanwire::shard::coalesce;
use fanwire::slots::ConnId;
use libfuzzer_sys::fuzz_target;

use crate::document::Document;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    members: u8,
    drafts: Vec<Draft<'a>>,
}

/// The content of a message.
#[derive(Arbitrary, Debug)]
struct Draft<'a> {
    payload: Payload<'a>,
    role: u8,
    delivery: u8,
    room: u8,
    room_name: Option<&'a str>,
    key: Option<&'a str>,
    id: Option<&'a str>,
    re: Option<&'a str>,
    epoch: u64,
    seq: u64,
    ts_ms: u64,
    ack: bool,
    /// How often it is published.
    times: u8,
}

#[derive(Arbitrary, Debug)]
enum Payload<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
    Json(Document),
    /// A payload that claims to be JSON.
    Claimed(&'a [u8]),
    Long {
        byte: u8,
        len: u32,
    },
}

impl Draft<'_> {
    fn payload(&self) -> (Kind, Vec<u8>) {
        match &self.payload {
            Payload::Text(text) => (Kind::Text, text.as_bytes().to_vec()),
            Payload::Binary(bytes) => (Kind::Binary, bytes.to_vec()),
            Payload::Json(document) => (Kind::Json, document.0.clone().into_bytes()),
            Payload::Claimed(bytes) => (Kind::Json, bytes.to_vec()),
            Payload::Long { byte, len } => (Kind::Binary, vec![*byte; *len as usize % LONG]),
        }
    }

    fn role(&self) -> Role {
        match self.role % 8 {
            0 => Role::Whole,
            1 => Role::Event("member_joined"),
            _ => Role::Data,
        }
    }

    fn delivery(&self) -> Delivery {
        [Delivery::Reliable, Delivery::Reliable, Delivery::Latest, Delivery::DropOldest, Delivery::DropNewest]
            [usize::from(self.delivery % 5)]
    }

    fn metadata(&self) -> Metadata {
        let delivery = self.delivery();
        Metadata {
            epoch: self.epoch,
            key: (delivery == Delivery::Latest).then_some(u64::from(self.room % 4)),
            room_name: self.room_name.map(Arc::from),
            key_name: self.key.map(Arc::from),
            ts_ms: self.ts_ms,
            re: self.re.map(Box::from),
            id: self.id.map(Box::from),
            ack: self.ack,
            ..Metadata::place(u64::from(self.room % 3), self.seq, delivery)
        }
    }

    fn build(&self, budget: &Arc<Budget>) -> Arc<Message> {
        let (kind, payload) = self.payload();
        Arc::new(Message::new(self.role(), kind, &payload, self.metadata(), 0, budget))
    }
}

fuzz_target!(|input: Input<'_>| {
    let budget = Arc::new(Budget::new(usize::MAX));
    let drafts = &input.drafts[..input.drafts.len().min(DRAFTS)];
    for draft in drafts {
        forms::check(draft, &draft.build(&budget), &budget);
        assert_eq!(budget.used(), 0);
    }
    check_runs(drafts, usize::from(input.members % 8), &budget);
    assert_eq!(budget.used(), 0);
});

/// Coalesced or not, everything comes in order, and a joined message is its parts in a row.
fn check_runs(drafts: &[Draft<'_>], members: usize, budget: &Arc<Budget>) {
    let mut commands = VecDeque::new();
    let mut published = VecDeque::new();
    for draft in drafts {
        let message = draft.build(budget);
        let except: Box<[_]> = if draft.seq % 16 == 7 { [ConnId::from_u64(1)].into() } else { Box::default() };
        for _ in 0..draft.times % TIMES {
            published.push_back(Arc::clone(&message));
            commands.push_back(Command::<()>::Publish { message: Arc::clone(&message), except: except.clone() });
        }
        if draft.times == 0 {
            commands.push_back(Command::Gone { conn: ConnId::from_u64(2) });
        }
    }
    while let Some(command) = coalesce::next(&mut commands, |_| members, budget) {
        let Command::Publish { message, except } = command else { continue };
        for part in message.parts() {
            assert!(Arc::ptr_eq(part, &published.pop_front().expect("no more than was published")));
        }
        if message.count() == 1 {
            continue;
        }
        assert!(except.is_empty() && members >= 4 && message.count() <= 128);
        let last = message.parts().last().unwrap();
        assert_eq!((message.room(), message.seq(), message.delivery()), (last.room(), last.seq(), Delivery::Reliable));
        for part in message.parts() {
            assert!(part.is_data() && part.room() == message.room() && part.delivery() == Delivery::Reliable);
        }
        for form in [Form::RAW, Form::JSON, Form::MSGPACK] {
            let parts: Vec<_> = message.parts().iter().map(|part| part.frame(form)).collect();
            assert_eq!(message.frame(form), parts.concat());
        }
        assert!(message.frame(Form::RAW).len() <= 32 << 10);
    }
    assert!(published.is_empty());
}

/// The limit on messages of an input: enough for a queue, few enough for thousands of inputs a second.
const DRAFTS: usize = 16;
const TIMES: u8 = 12;
const LONG: usize = 70_000;

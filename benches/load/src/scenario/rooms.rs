//! Many small rooms: a game server's tick. One publisher goes round the rooms smoothly, through `/pubrooms`.

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value, json};

use crate::bench::{Bench, Common, WIDTH, float, reader};
use crate::plan::{Content, Load, Plan, To};
use crate::session::Sessions;

/// Many small rooms.
#[derive(Debug, Args)]
pub struct Rooms {
    #[command(flatten)]
    pub(super) common: Common,
    /// Rooms.
    #[arg(long, default_value_t = 1000)]
    rooms: u64,
    /// Connections in each; rooms times members is bounded by the descriptors of the machine.
    #[arg(long, default_value_t = 9)]
    members: u64,
    /// Messages per second and room.
    #[arg(long, default_value_t = 20.0)]
    hz: f64,
    /// Bytes of a payload.
    #[arg(long, default_value_t = 128)]
    size: usize,
    #[command(flatten)]
    sessions: Sessions,
}

impl Rooms {
    pub(super) fn run(&self) -> Result<Map<String, Value>> {
        let (common, rooms) = (&self.common, self.rooms.max(1));
        let mut bench = Bench::new(common, rooms)?;
        // Message n goes to room n modulo rooms, so the first of a room carries the room's own number.
        let wanted = (0..rooms * self.members).map(|i| {
            let room = i % rooms;
            reader(self.sessions, Some(&room.to_string()), room)
        });
        let (readers, _) = bench.swarm.open(wanted, WIDTH, &mut bench.tally)?;
        let refused = readers.len() - bench.swarm.alive(&readers);
        anyhow::ensure!(refused == 0, "{refused} of {} members were refused", readers.len());

        let load = Load::Paced { rate: self.hz * float(rooms), burst: 1 };
        let plan = Plan { load, size: self.size, to: To::Rooms(rooms), content: Content::Bytes };
        let phase = bench.measure(common, &plan, u32::try_from(self.members)?)?;
        let parameters = json!({
            "rooms": rooms, "members": self.members, "hz": self.hz, "size": self.size,
            "subprotocol": self.sessions.name(),
        });
        let mut map = super::head("rooms", common, parameters);
        map.extend(phase.json());
        map.insert("closed".into(), bench.swarm.closed().into());
        bench.swarm.abort(&readers);
        Ok(map)
    }
}

//! What a client of SSE or long-polling keeps beside its stream: what it has said and not yet posted, and the number of the
//! next POST (docs/transports.md). Pure: bytes in, bytes out. Not a connection. The rule: one POST at a time, and one that is
//! not answered is repeated with the same number and the same body.

use std::rc::Rc;

use crate::transport;

/// POSTs or polls in a row that may be lost with their connections; a server that loses more is broken.
const REPEATS: u32 = 3;

/// The client's half of one link.
#[derive(Debug, Clone)]
pub struct Fallback {
    /// The connection that carries POSTs, by its place in the swarm.
    pub courier: Option<usize>,
    path: Rc<str>,
    link: Rc<str>,
    lines: Vec<u8>,
    /// The POST that is under way.
    request: Vec<u8>,
    number: u64,
    lost: u32,
}

/// The server refused what it must take, or does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

impl Fallback {
    /// A link at `path` that is not open yet.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self {
            courier: None,
            path: path.into(),
            link: "".into(),
            lines: Vec::new(),
            request: Vec::new(),
            number: 0,
            lost: 0,
        }
    }

    /// Takes what a client has said, whole lines; `link` is what the server has called this link.
    pub fn say(&mut self, link: &str, lines: &mut Vec<u8>) {
        if self.link.is_empty() {
            self.link = link.into();
        }
        self.lines.append(lines);
    }

    /// The next POST; `None` while one is under way or there is nothing to say.
    pub fn next_post(&mut self) -> Option<&[u8]> {
        if !self.request.is_empty() || self.lines.is_empty() {
            return None;
        }
        self.number += 1;
        self.request = transport::post(&self.path, &self.link, self.number, &self.lines);
        self.lines.clear();
        Some(&self.request)
    }

    /// The POST under way was answered with this status.
    ///
    /// # Errors
    /// [`Broken`]: it was not taken.
    pub fn answered(&mut self, status: u16) -> Result<(), Broken> {
        if self.request.is_empty() || status != 204 {
            return Err(Broken);
        }
        self.request.clear();
        self.lost = 0;
        Ok(())
    }

    /// The courier's connection is gone; gives the POST that has to be repeated.
    ///
    /// # Errors
    /// [`Broken`]: that happened too often.
    pub fn repeat_post(&mut self) -> Result<Option<&[u8]>, Broken> {
        if self.request.is_empty() {
            return Ok(None);
        }
        self.repeat()?;
        Ok(Some(&self.request))
    }

    /// The next poll, which acknowledges so many counted messages.
    #[must_use]
    pub fn poll(&self, received: u64) -> Vec<u8> {
        transport::poll(&self.path, &self.link, received)
    }

    /// A poll was answered.
    pub fn polled(&mut self) {
        self.lost = 0;
    }

    /// A request was lost with its connection.
    ///
    /// # Errors
    /// [`Broken`]: that happened too often.
    pub fn repeat(&mut self) -> Result<(), Broken> {
        self.lost += 1;
        if self.lost > REPEATS { Err(Broken) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_while_a_post_is_under_way_goes_with_the_next() {
        let mut fallback = Fallback::new("/");
        assert_eq!(fallback.next_post(), None);
        fallback.say("n.1", &mut b"1\n".to_vec());
        assert_eq!(fallback.next_post(), Some(&*transport::post("/", "n.1", 1, b"1\n")));
        fallback.say("n.1", &mut b"2\n".to_vec());
        fallback.say("n.1", &mut b"3\n".to_vec());
        assert_eq!(fallback.next_post(), None);
        assert_eq!(fallback.answered(204), Ok(()));
        assert_eq!(fallback.next_post(), Some(&*transport::post("/", "n.1", 2, b"2\n3\n")));
    }

    #[test]
    fn a_lost_post_is_repeated_unchanged_and_not_for_ever() {
        let mut fallback = Fallback::new("/");
        assert_eq!(fallback.repeat_post(), Ok(None));
        fallback.say("n.1", &mut b"1\n".to_vec());
        let request = fallback.next_post().unwrap_or_default().to_vec();
        for _ in 0..REPEATS {
            assert_eq!(fallback.repeat_post(), Ok(Some(&*request)));
        }
        assert_eq!(fallback.repeat_post(), Err(Broken));
    }

    #[test]
    fn a_refusal_and_an_answer_to_nothing_are_the_servers_fault() {
        let mut fallback = Fallback::new("/");
        assert_eq!(fallback.answered(204), Err(Broken));
        fallback.say("n.1", &mut b"1\n".to_vec());
        fallback.next_post();
        assert_eq!(fallback.answered(404), Err(Broken));
        assert!(fallback.poll(7).starts_with(b"GET /?link=n.1&received=7 "));
    }
}

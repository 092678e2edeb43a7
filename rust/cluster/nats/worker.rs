//! What the thread of a [`Line`](super::Line) does.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_nats::client::PublishErrorKind;
use async_nats::connection::State;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, HeaderMap, Message, Subscriber};
use bytes::Bytes;
use futures_util::future::select;
use futures_util::{FutureExt, StreamExt};
use tokio::runtime;
use tokio::sync::mpsc::{UnboundedReceiver, WeakUnboundedSender};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{Command, News, OVERHEAD, Question, Reply, Settings, Shared, Target};
use crate::io::driver::panic_text;

/// Works until it is closed, or until the client is beyond help, which is told.
pub fn run(shared: Arc<Shared>, commands: UnboundedReceiver<Vec<Command>>, sender: WeakUnboundedSender<Vec<Command>>) {
    let (settle, theirs) = (Arc::clone(&shared), Arc::clone(&shared));
    let work = AssertUnwindSafe(|| {
        let mut runtime = runtime::Builder::new_current_thread();
        let runtime = runtime.enable_io().enable_time().on_thread_park(move || settle.settle()).build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let end = end(Arc::clone(&theirs));
        // Without a connection the client may take nothing more, and its end neither.
        runtime.block_on(async { select(pin!(work(theirs, commands, sender)), pin!(end)).await.factor_first().0 })
    });
    let result = catch_unwind(work).unwrap_or_else(|panic| Err(panic_text(&*panic)));
    shared.settle();
    shared.go_down();
    if let Err(why) = result {
        shared.tell(News::Ended(why));
    }
}

async fn work(
    shared: Arc<Shared>,
    mut commands: UnboundedReceiver<Vec<Command>>,
    sender: WeakUnboundedSender<Vec<Command>>,
) -> Result<(), String> {
    let client = connect(&shared, sender.clone()).await?;
    // Fails only when it is set already.
    let _ = shared.client.set(client.clone());
    let echo = subscribe(&client, shared.settings.echo.clone()).await?;
    tokio::spawn(watched(Arc::clone(&shared), hear_echo(Arc::clone(&shared), echo)));
    tokio::spawn(remind(sender));
    let mut heard: HashMap<u64, AbortHandle> = HashMap::new();
    let mut waiting = Vec::new().into_iter();
    loop {
        let Some(command) = waiting.next() else {
            let Some(more) = commands.recv().await else { break };
            waiting = more.into_iter();
            continue;
        };
        match command {
            Command::Send { subject, payload } => {
                let size = payload.len() + OVERHEAD;
                let sent = publish(&client, &shared, subject, payload).await;
                shared.outgoing.fetch_sub(size, Relaxed);
                sent?;
            }
            Command::Subscribe { id, subject, target } => {
                let subscriber = subscribe(&client, subject).await?;
                let task = hear(Arc::clone(&shared), subscriber, id, target);
                heard.insert(id, tokio::spawn(watched(Arc::clone(&shared), task)).abort_handle());
            }
            Command::Unsubscribe { id } => {
                // The subscription goes with the task that reads it.
                heard.remove(&id).iter().for_each(AbortHandle::abort);
            }
            Command::Sync { ticket } => send_echo(&client, &shared, SYNC, ticket).await?,
            Command::Ask(question) => {
                tokio::spawn(answer(Arc::clone(&shared), client.clone(), question));
            }
            Command::Connected => {
                // What went down and came back at once may not have been told.
                shared.go_down();
                let connects = shared.connects.fetch_add(1, Relaxed) + 1;
                send_echo(&client, &shared, UP, connects).await?;
            }
            Command::Remind => {
                if !shared.is_up.load(Relaxed) && client.connection_state() == State::Connected {
                    send_echo(&client, &shared, UP, shared.connects.load(Relaxed)).await?;
                }
            }
            Command::Reconnect => client.force_reconnect().await.map_err(|error| error.to_string())?,
            Command::Close => break,
        }
    }
    // What cannot be sent now is lost with the connection.
    let _ = timeout(shared.settings.timeout / 4, client.flush()).await;
    Ok(())
}

/// A moment after it is closed.
async fn end(shared: Arc<Shared>) -> Result<(), String> {
    shared.closing.notified().await;
    sleep(shared.settings.timeout / 2).await;
    Ok(())
}

/// Connects, as soon as there is a server, if that is soon.
async fn connect(shared: &Arc<Shared>, sender: WeakUnboundedSender<Vec<Command>>) -> Result<Client, String> {
    let Settings { servers, timeout, retry, .. } = &shared.settings;
    let end = Instant::now() + *timeout;
    loop {
        let (theirs, sender) = (Arc::clone(shared), sender.clone());
        let options = options(shared.settings.clone()).await?.event_callback(move |event| {
            let (shared, sender) = (Arc::clone(&theirs), sender.clone());
            async move { note(&shared, &sender, event) }
        });
        match timeout_at(end, options.connect(servers.clone())).await {
            Ok(Ok(client)) => return Ok(client),
            Ok(Err(error)) if error.kind() != ConnectErrorKind::Io || Instant::now() + *retry > end => {
                return Err(error.to_string());
            }
            Ok(Err(_)) => sleep(*retry).await,
            Err(_) => return Err(LATE.into()),
        }
    }
}

async fn options(settings: Settings) -> Result<ConnectOptions, String> {
    let Settings { token, password, credentials, ca, certificate, timeout, retry, ping, .. } = settings;
    let is_tls = ca.is_some() || certificate.is_some();
    let mut options = ConnectOptions::new()
        .name("fanwire")
        .connection_timeout(timeout)
        .ping_interval(ping)
        .reconnect_delay_callback(move |attempts| if attempts == 0 { Duration::ZERO } else { retry })
        .subscription_capacity(WAITING)
        .client_capacity(SENDING)
        .read_buffer_capacity(READ);
    if is_tls {
        options = options.require_tls(true);
    }
    if let Some(token) = token {
        options = options.token(token);
    }
    if let Some((user, password)) = password {
        options = options.user_and_password(user, password);
    }
    if let Some(file) = credentials {
        options = options.credentials_file(&file).await.map_err(|error| format!("{}: {error}", file.display()))?;
    }
    if let Some(file) = ca {
        options = options.add_root_certificates(file);
    }
    if let Some((certificate, key)) = certificate {
        options = options.add_client_certificate(certificate, key);
    }
    Ok(options)
}

/// What the client says of its connection. It forgets what nobody has taken in time, so [`remind`] looks again.
fn note(shared: &Shared, sender: &WeakUnboundedSender<Vec<Command>>, event: Event) {
    match event {
        Event::Connected => {
            // Gone only when the line is.
            let _ = sender.upgrade().map(|sender| sender.send(vec![Command::Connected]));
        }
        Event::Disconnected | Event::Closed => shared.go_down(),
        Event::SlowConsumer(_) => shared.tell(News::LostSome),
        Event::ServerError(error) => shared.tell(News::Complained(error.to_string())),
        Event::ClientError(error) => shared.tell(News::Complained(error.to_string())),
        Event::LameDuckMode | Event::Draining => {}
    }
}

async fn remind(sender: WeakUnboundedSender<Vec<Command>>) {
    loop {
        sleep(REMIND).await;
        let Some(sender) = sender.upgrade() else { return };
        // Fails only when the work is over.
        let _ = sender.send(vec![Command::Remind]);
    }
}

async fn subscribe(client: &Client, subject: String) -> Result<Subscriber, String> {
    client.subscribe(subject).await.map_err(|error| error.to_string())
}

/// Hands a message to the client; fails when there is none any more.
async fn publish(client: &Client, shared: &Shared, subject: String, payload: Bytes) -> Result<(), String> {
    match client.publish(subject, payload).await {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == PublishErrorKind::Send => Err(error.to_string()),
        Err(error) => {
            shared.tell(News::Complained(error.to_string()));
            Ok(())
        }
    }
}

async fn send_echo(client: &Client, shared: &Shared, kind: u8, number: u64) -> Result<(), String> {
    let mut payload = vec![kind];
    payload.extend(number.to_be_bytes());
    publish(client, shared, shared.settings.echo.clone(), payload.into()).await
}

/// Tells when what reads a subscription has ended: it is never meant to, and is aborted when it is not needed.
async fn watched(shared: Arc<Shared>, task: impl Future<Output = ()>) {
    let why = match AssertUnwindSafe(task).catch_unwind().await {
        Ok(()) => "the NATS client has ended".into(),
        Err(panic) => panic_text(&*panic),
    };
    shared.go_down();
    shared.tell(News::Ended(why));
}

async fn hear_echo(shared: Arc<Shared>, mut subscriber: Subscriber) {
    while let Some(message) = subscriber.next().await {
        let Some((&kind, number)) = message.payload.split_first() else { continue };
        let Ok(number) = number.try_into().map(u64::from_be_bytes) else { continue };
        if kind == SYNC {
            shared.tell(News::Synced(number));
        } else if number == shared.connects.load(Relaxed) && !shared.is_up.swap(true, Relaxed) {
            shared.tell(News::Up);
        }
    }
}

async fn hear(shared: Arc<Shared>, mut subscriber: Subscriber, id: u64, target: Target) {
    while let Some(message) = subscriber.next().await {
        match &target {
            Target::Log => {
                if let Some((seq, prev)) = place(&message) {
                    shared.tell(News::Stored(id, seq, prev, message.payload));
                }
            }
            _ if message.subject.ends_with(&shared.settings.node) => {}
            Target::Inlet(inlet) => shared.enter(id, inlet, &message.payload),
            Target::Host => shared.tell(News::Heard(id, message.payload)),
        }
    }
}

async fn answer(shared: Arc<Shared>, client: Client, question: Question) {
    let (ticket, wait) = (question.ticket, shared.settings.timeout);
    let asking =
        timeout(2 * wait, ask(&client, question, wait)).map(|found| found.unwrap_or_else(|_| Err(LATE.into())));
    let found = AssertUnwindSafe(asking).catch_unwind().await;
    shared.tell(News::Answered(ticket, found.unwrap_or_else(|panic| Err(panic_text(&*panic)))));
}

async fn ask(client: &Client, question: Question, wait: Duration) -> Result<Vec<Reply>, String> {
    let Question { subject, headers, payload, is_batch, .. } = question;
    if !is_batch {
        let parsed = headers.iter().map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)));
        let headers =
            parsed.collect::<Option<HeaderMap>>().ok_or("a header has a line break or another such character")?;
        let asking = timeout(wait, client.request_with_headers(subject, headers, payload));
        let message = asking.await.map_err(|_| LATE)?.map_err(|error| error.to_string())?;
        return Ok(vec![message.into()]);
    }
    let inbox = client.new_inbox();
    let mut subscriber = subscribe(client, inbox.clone()).await?;
    client.publish_with_reply(subject, inbox, payload).await.map_err(|error| error.to_string())?;
    let mut replies: Vec<Reply> = Vec::new();
    while replies.last().is_none_or(|reply| reply.status == 0) && replies.len() < REPLIES {
        let message = timeout(wait, subscriber.next()).await.map_err(|_| LATE)?;
        replies.push(message.ok_or("the NATS client has ended")?.into());
    }
    Ok(replies)
}

impl From<Message> for Reply {
    fn from(message: Message) -> Self {
        let Message { status, headers, payload, description, .. } = message;
        let headers = headers.iter().flat_map(HeaderMap::iter);
        let mut headers: Vec<_> =
            headers.filter_map(|(name, values)| Some((name.to_string(), values.first()?.to_string()))).collect();
        headers.extend(description.map(|text| ("Description".into(), text)));
        Self { status: status.map_or(0, |status| status.as_u16()), headers, payload }
    }
}

/// The number of a message that was republished from a stream, and of the one before it of its subject (NATS ADR-28).
fn place(message: &Message) -> Option<(u64, u64)> {
    let headers = message.headers.as_ref()?;
    let number = |name| u64::from_str(headers.get(name)?.as_str()).ok();
    Some((number("Nats-Sequence")?, number("Nats-Last-Sequence").unwrap_or(0)))
}

const LATE: &str = "no answer in time";

/// Answers to one question: more than anybody asks for.
const REPLIES: usize = 10_000;

const SYNC: u8 = 0;
const UP: u8 = 1;

/// Between looks whether a connection came back without a word.
const REMIND: Duration = Duration::from_secs(1);

/// Messages of a subscription that may wait for this thread; beyond it they are lost, and we know.
const WAITING: usize = 65_536;

/// Messages that the client takes before it has sent those before.
const SENDING: usize = 256;

/// Bytes that are read at once. The runtime lets a task read 128 times before others have a turn: 2 MB, in which no
/// subscription's messages are more than may wait.
const READ: u16 = 16 << 10;

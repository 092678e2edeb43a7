//! The thread of a [`NatsConnection`](super::NatsConnection).

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
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, WeakUnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{NatsCommand, NatsEvent, NatsSettings, NatsShared, OVERHEAD, Question, Reply, Target};
use crate::io::driver::panic_text;

/// Runs until the connection is closed or the client fails; a failure is reported as [`NatsEvent::Ended`].
pub fn run(
    shared: Arc<NatsShared>,
    commands: UnboundedReceiver<Vec<NatsCommand>>,
    sender: WeakUnboundedSender<Vec<NatsCommand>>,
) {
    let (settle, theirs) = (Arc::clone(&shared), Arc::clone(&shared));
    let work = AssertUnwindSafe(|| {
        let mut runtime = runtime::Builder::new_current_thread();
        let runtime = runtime.enable_io().enable_time().on_thread_park(move || settle.settle()).build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let end = end(Arc::clone(&theirs));
        // Without a connection the client may block on a command, so a closed connection also ends by a timer.
        runtime.block_on(async { select(pin!(work(theirs, commands, sender)), pin!(end)).await.factor_first().0 })
    });
    let result = catch_unwind(work).unwrap_or_else(|panic| Err(panic_text(&*panic)));
    shared.settle();
    shared.go_down();
    if let Err(why) = result {
        shared.tell(NatsEvent::Ended(why));
    }
}

async fn work(
    shared: Arc<NatsShared>,
    commands: UnboundedReceiver<Vec<NatsCommand>>,
    sender: WeakUnboundedSender<Vec<NatsCommand>>,
) -> Result<(), String> {
    let client = connect(&shared, sender.clone()).await?;
    // Fails only if it is set already.
    let _ = shared.client.set(client.clone());
    let echo = subscribe(&client, shared.settings.echo.clone()).await?;
    tokio::spawn(watched(Arc::clone(&shared), hear_echo(Arc::clone(&shared), client.clone(), echo)));
    tokio::spawn(remind(sender));
    let (passed, mut commands_in_order) = unbounded_channel();
    tokio::spawn(pass(Arc::clone(&shared), client.clone(), commands, passed));
    let mut heard: HashMap<u64, AbortHandle> = HashMap::new();
    let mut waiting = Vec::new().into_iter();
    loop {
        let Some(command) = waiting.next() else {
            let Some(more) = commands_in_order.recv().await else { break };
            waiting = more.into_iter();
            continue;
        };
        match command {
            NatsCommand::Send { subject, payload } => {
                let size = payload.len() + OVERHEAD;
                let sent = publish(&client, &shared, subject, payload).await;
                shared.outgoing.fetch_sub(size, Relaxed);
                sent?;
            }
            NatsCommand::Subscribe { id, subject, target } => {
                let subscriber = subscribe(&client, subject).await?;
                let task = hear(Arc::clone(&shared), subscriber, id, target);
                heard.insert(id, tokio::spawn(watched(Arc::clone(&shared), task)).abort_handle());
            }
            NatsCommand::Unsubscribe { id } => {
                // Aborting the task that reads it also ends the subscription.
                heard.remove(&id).iter().for_each(AbortHandle::abort);
            }
            NatsCommand::Sync { ticket } => send_echo(&client, &shared, SYNC, ticket).await?,
            // Fails if the time of the request is over.
            NatsCommand::Begin(turn) => drop(turn.send(())),
            // See [`pass`].
            NatsCommand::Ask(_) => {}
            // Looks whether the client has another connection than the one that was reported.
            NatsCommand::Look => {
                if connects(&client) != shared.connects.load(Relaxed) {
                    // The disconnect may not have been reported.
                    shared.go_down();
                }
                if !shared.is_up.load(Relaxed) && client.connection_state() == State::Connected {
                    send_echo(&client, &shared, UP, connects(&client)).await?;
                }
            }
            NatsCommand::Reconnect => client.force_reconnect().await.map_err(|error| error.to_string())?,
            NatsCommand::Close => break,
        }
    }
    // What cannot be sent now is lost with the connection.
    let _ = timeout(shared.settings.timeout / 4, client.flush()).await;
    Ok(())
}

/// Returns some time after the connection is closed.
async fn end(shared: Arc<NatsShared>) -> Result<(), String> {
    shared.closing.notified().await;
    sleep(shared.settings.timeout / 2).await;
    Ok(())
}

/// Connects. Retries until the timeout while no server is reachable.
async fn connect(shared: &Arc<NatsShared>, sender: WeakUnboundedSender<Vec<NatsCommand>>) -> Result<Client, String> {
    let NatsSettings { servers, timeout, retry, .. } = &shared.settings;
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

async fn options(settings: NatsSettings) -> Result<ConnectOptions, String> {
    let NatsSettings { token, password, credentials, ca, certificate, timeout, retry, ping, .. } = settings;
    let is_tls = ca.is_some() || certificate.is_some();
    let mut options = ConnectOptions::new()
        .name("fanwire")
        .connection_timeout(timeout)
        .ping_interval(ping)
        .reconnect_delay_callback(move |attempt| if attempt <= 1 { Duration::ZERO } else { retry })
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

/// Handles an event of the client. The client drops events when its queue is full, so [`remind`] checks again.
fn note(shared: &NatsShared, sender: &WeakUnboundedSender<Vec<NatsCommand>>, event: Event) {
    match event {
        Event::Connected => {
            // The sender is gone only if the connection was dropped.
            let _ = sender.upgrade().map(|sender| sender.send(vec![NatsCommand::Look]));
        }
        Event::Disconnected | Event::Closed => shared.go_down(),
        Event::SlowConsumer(_) => shared.tell(NatsEvent::LostSome),
        Event::ServerError(error) => shared.tell(NatsEvent::Complained(error.to_string())),
        Event::ClientError(error) => shared.tell(NatsEvent::Complained(error.to_string())),
        Event::LameDuckMode | Event::Draining => {}
    }
}

async fn remind(sender: WeakUnboundedSender<Vec<NatsCommand>>) {
    loop {
        sleep(REMIND).await;
        let Some(sender) = sender.upgrade() else { return };
        // Fails only if the thread has ended.
        let _ = sender.send(vec![NatsCommand::Look]);
    }
}

async fn subscribe(client: &Client, subject: String) -> Result<Subscriber, String> {
    client.subscribe(subject).await.map_err(|error| error.to_string())
}

/// Gives a message to the client. An error means that the client has ended.
async fn publish(client: &Client, shared: &NatsShared, subject: String, payload: Bytes) -> Result<(), String> {
    match client.publish(subject, payload).await {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == PublishErrorKind::Send => Err(error.to_string()),
        Err(error) => {
            shared.tell(NatsEvent::Complained(error.to_string()));
            Ok(())
        }
    }
}

/// The number of connections that the client has made.
fn connects(client: &Client) -> u64 {
    client.statistics().connects.load(Relaxed)
}

async fn send_echo(client: &Client, shared: &NatsShared, kind: u8, number: u64) -> Result<(), String> {
    let mut payload = vec![kind];
    payload.extend(number.to_be_bytes());
    publish(client, shared, shared.settings.echo.clone(), payload.into()).await
}

/// Runs a task that reads a subscription, and reports its end. Such a task ends only by a fault; it is aborted when it
/// is not needed.
async fn watched(shared: Arc<NatsShared>, task: impl Future<Output = ()>) {
    let why = match AssertUnwindSafe(task).catch_unwind().await {
        Ok(()) => "the NATS client has ended".into(),
        Err(panic) => panic_text(&*panic),
    };
    shared.go_down();
    shared.tell(NatsEvent::Ended(why));
}

async fn hear_echo(shared: Arc<NatsShared>, client: Client, mut subscriber: Subscriber) {
    while let Some(message) = subscriber.next().await {
        let Some((&kind, number)) = message.payload.split_first() else { continue };
        let Ok(number) = number.try_into().map(u64::from_be_bytes) else { continue };
        if kind == SYNC {
            shared.tell(NatsEvent::Synced(number));
        } else if number == connects(&client) && !shared.is_up.swap(true, Relaxed) {
            shared.connects.store(number, Relaxed);
            shared.tell(NatsEvent::Up);
        }
    }
}

async fn hear(shared: Arc<NatsShared>, mut subscriber: Subscriber, id: u64, target: Target) {
    while let Some(message) = subscriber.next().await {
        match &target {
            Target::Log => {
                if let Some((seq, prev)) = place(&message) {
                    shared.tell(NatsEvent::Stored(id, seq, prev, message.payload));
                }
            }
            _ if message.subject.ends_with(&shared.settings.node) => {}
            Target::Ingress(ingress) => shared.enter(id, ingress, &message.payload),
            Target::Host => shared.tell(NatsEvent::Heard(id, message.payload)),
        }
    }
}

/// Passes commands on. The time of a request begins here, because a command before it may wait for as long as NATS is
/// away.
async fn pass(
    shared: Arc<NatsShared>,
    client: Client,
    mut commands: UnboundedReceiver<Vec<NatsCommand>>,
    passed: UnboundedSender<Vec<NatsCommand>>,
) {
    let begin = |command| match command {
        NatsCommand::Ask(question) => {
            let (begin, turn) = oneshot::channel();
            tokio::spawn(answer(Arc::clone(&shared), client.clone(), question, turn));
            NatsCommand::Begin(begin)
        }
        command => command,
    };
    while let Some(more) = commands.recv().await {
        if passed.send(more.into_iter().map(begin).collect()).is_err() {
            return;
        }
    }
}

async fn answer(shared: Arc<NatsShared>, client: Client, question: Question, turn: oneshot::Receiver<()>) {
    let (ticket, wait) = (question.ticket, shared.settings.timeout);
    let asking = async {
        turn.await.map_err(|_| "the NATS client has ended")?;
        ask(&client, question, wait).await
    };
    let asking = timeout(2 * wait, asking).map(|found| found.unwrap_or_else(|_| Err(LATE.into())));
    let found = AssertUnwindSafe(asking).catch_unwind().await;
    shared.tell(NatsEvent::Answered(ticket, found.unwrap_or_else(|panic| Err(panic_text(&*panic)))));
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

/// The number of a message that a stream republished, and the number of the message before it in its subject (NATS
/// ADR-28).
fn place(message: &Message) -> Option<(u64, u64)> {
    let headers = message.headers.as_ref()?;
    let number = |name| u64::from_str(headers.get(name)?.as_str()).ok();
    Some((number("Nats-Sequence")?, number("Nats-Last-Sequence").unwrap_or(0)))
}

const LATE: &str = "no answer in time";

/// The limit on answers to one request, far above what any request needs.
const REPLIES: usize = 10_000;

const SYNC: u8 = 0;
const UP: u8 = 1;

/// The interval of the check whether the client is connected again.
const REMIND: Duration = Duration::from_secs(1);

/// Messages of one subscription that may wait for this thread. More are dropped, and reported.
const WAITING: usize = 65_536;

/// Messages that the client accepts before it has sent the earlier ones.
const SENDING: usize = 256;

/// Bytes read at once. The runtime lets a task read 128 times before other tasks run: 2 MB, which hold fewer messages
/// of one subscription than may wait.
const READ: u16 = 16 << 10;

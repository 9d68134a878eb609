//! One connection of a client: who it is, what it asks for, and the run that is connected for as long as it stays.

use std::{
    io,
    net::IpAddr,
    os::{fd::AsFd, unix::net::UnixStream},
    time::{Duration, Instant},
};

use rustix::net::sockopt::socket_peercred;

use crate::{
    Grant, Granted, NetdSettings, Status,
    helper::Helper,
    node::{Connected, Fault},
    policy::{Checked, MAX_TTL_MS, check, check_loopback},
    wire::{Answer, Request, receive, send},
};

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a wire may wait for its run: twice what a worker lets one wait.
const WAIT: Duration = Duration::from_secs(120);

/// Serves one client until it goes or its time is over.
pub(crate) fn serve(helper: &Helper, mut stream: UnixStream) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    if !may_ask(&helper.settings, &stream)? {
        return send(
            &mut stream,
            &Answer::Refused("expected a user or group that netd.uids or netd.gid names".into()),
            None,
        );
    }
    let request = match receive::<Request>(&mut stream, Instant::now() + PATIENCE) {
        Ok(Some(request)) => request,
        Ok(None) => return Ok(()),
        Err(error) => return send(&mut stream, &Answer::Refused(format!("expected a request: {error}")), None),
    };
    match request {
        (Request::Status, _) => send(&mut stream, &status(helper), None),
        (Request::Dropped, _) => {
            send(&mut stream, &Answer::Refused("expected to open something first".to_owned()), None)
        }
        (Request::Open(_) | Request::Wire, None) => {
            send(&mut stream, &Answer::Refused("expected the descriptor of a network namespace".to_owned()), None)
        }
        (Request::Reserve(loopback), _) => reserve(helper, &mut stream, &loopback),
        (Request::Wire, Some(namespace)) => match helper.wire(namespace.as_fd(), Some(&stream)) {
            Ok(mut connected) => {
                drop(namespace);
                let done = wait(helper, &mut stream, &mut connected);
                helper.close(connected);
                done
            }
            Err(fault) => send(&mut stream, &refusal(fault), None),
        },
        (Request::Open(grant), Some(namespace)) => {
            let until = end_of(&grant);
            // What this node will never do is told without a wire.
            match judged(helper, &grant).and_then(|checked| {
                let connected = helper.wire(namespace.as_fd(), None).map_err(refusal)?;
                Ok((checked, connected))
            }) {
                Ok((checked, mut connected)) => {
                    drop(namespace);
                    let done = run(helper, &mut stream, &mut connected, (&grant, &checked), until);
                    helper.close(connected);
                    done
                }
                Err(answer) => send(&mut stream, &answer, None),
            }
        }
    }
}

fn end_of(grant: &Grant) -> Instant {
    Instant::now() + Duration::from_millis(grant.ttl_ms.min(1 << 40))
}

/// Holds a wire until its run comes, and then as long as the run may last.
fn wait(helper: &Helper, stream: &mut UnixStream, connected: &mut Connected) -> io::Result<()> {
    tracing::debug!(slot = connected.slot(), "wired");
    send(stream, &Answer::Wired, None)?;
    match receive::<Request>(stream, Instant::now() + WAIT)? {
        None => Ok(()),
        Some((Request::Open(grant), _)) => {
            let until = end_of(&grant);
            if !helper.begins(connected) {
                // It was taken away while this was on its way: the client sees the end, and asks anew.
                return Ok(());
            }
            match judged(helper, &grant) {
                Ok(checked) => run(helper, stream, connected, (&grant, &checked), until),
                Err(answer) => send(stream, &answer, None),
            }
        }
        Some(_) => send(stream, &Answer::Refused("expected a run for what is wired".to_owned()), None),
    }
}

/// Lets a wired run reach whom it may, and answers its client until the end.
fn run(
    helper: &Helper,
    stream: &mut UnixStream,
    connected: &mut Connected,
    (grant, checked): (&Grant, &Checked),
    until: Instant,
) -> io::Result<()> {
    match helper.grant(connected, checked) {
        Ok(granted) => {
            let addresses = grant.addresses.len();
            tracing::info!(slot = connected.slot(), addresses, ttl_ms = grant.ttl_ms, mode = ?grant.mode, "connected");
            keep(helper, stream, connected, granted, until)
        }
        Err(fault) => send(stream, &refusal(fault), None),
    }
}

fn may_ask(settings: &NetdSettings, stream: &UnixStream) -> io::Result<bool> {
    let peer = socket_peercred(stream)?;
    let (uid, gid) = (peer.uid.as_raw(), peer.gid.as_raw());
    Ok(uid == 0 || settings.uids.contains(&uid) || settings.gid == Some(gid))
}

/// Holds stand-ins until the client goes, or longer than any run may last.
fn reserve(helper: &Helper, stream: &mut UnixStream, loopback: &[IpAddr]) -> io::Result<()> {
    if let Err(why) = check_loopback(&helper.settings, loopback) {
        tracing::info!(why, "refused");
        return send(stream, &Answer::Forbidden(why), None);
    }
    let forwards = match helper.reserve(loopback) {
        Ok(forwards) => forwards,
        Err(why) => {
            tracing::info!(why, "refused");
            return send(stream, &Answer::Refused(why), None);
        }
    };
    let until = Instant::now() + Duration::from_millis(MAX_TTL_MS);
    let done =
        send(stream, &Answer::Reserved(forwards), None).and_then(|()| match receive::<Request>(stream, until)? {
            None => Ok(()),
            Some(_) => {
                send(stream, &Answer::Refused("expected nothing more: a run has its own connection".into()), None)
            }
        });
    helper.give_back(loopback);
    done
}

fn status(helper: &Helper) -> Answer {
    match helper.with(|node| node.status()) {
        Ok(Status { slots, dropped_packets }) => Answer::Status(Status { slots, dropped_packets }),
        Err(error) => failed("status", &error),
    }
}

fn judged(helper: &Helper, grant: &Grant) -> Result<Checked, Answer> {
    check(&helper.settings, grant).map_err(|why| {
        tracing::info!(why, "refused");
        Answer::Forbidden(why)
    })
}

fn refusal(fault: Fault) -> Answer {
    match fault {
        Fault::Refused(why) => {
            tracing::info!(why, "refused");
            Answer::Refused(why)
        }
        Fault::Kernel(error) => {
            tracing::error!(%error, "cannot connect a run");
            Answer::Refused(format!("the kernel does not connect it: {error}"))
        }
    }
}

/// Tells the client, and answers it until it goes or the time is over.
fn keep(
    helper: &Helper,
    stream: &mut UnixStream,
    connected: &Connected,
    granted: Granted,
    until: Instant,
) -> io::Result<()> {
    send(stream, &Answer::Granted(granted), None)?;
    while let Some((request, _)) = receive::<Request>(stream, until)? {
        let answer = match request {
            Request::Dropped => match helper.with(|node| node.dropped_of(connected)) {
                Ok(packets) => Answer::Dropped(packets),
                Err(error) => failed("dropped", &error),
            },
            Request::Status => status(helper),
            Request::Open(_) | Request::Wire | Request::Reserve(_) => {
                Answer::Refused("expected one run for each connection".to_owned())
            }
        };
        send(stream, &answer, None)?;
    }
    Ok(())
}

fn failed(what: &str, error: &io::Error) -> Answer {
    tracing::error!(%error, what, "cannot answer");
    Answer::Refused("the kernel does not answer".to_owned())
}

//! One connection that sends its share of a load and hears the acknowledgements meanwhile.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use edgetime_protocol::answer::Answer;
use edgetime_protocol::client::ClientError;
use edgetime_protocol::command::Directive;

use super::latency::Latencies;
use super::load::Load;
use super::{BenchArgs, Stop};
use crate::cli::CommandError;
use crate::types::AckLevel;

/// What one connection did.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub rows: u64,
    pub values: u64,
    pub bytes: u64,
    /// Rows acknowledged; without acknowledgements, all that a sync covered.
    pub acknowledged: u64,
    pub rejected: u64,
    /// The first rejection.
    pub rejection: Option<String>,
    /// Until the last byte was handed to the socket, and until the last answer.
    pub sending: Duration,
    pub until_last_answer: Duration,
    pub latencies: Latencies,
}

/// Rows sent so far, and when.
type Pending = Mutex<VecDeque<(u64, Instant)>>;

/// What was heard.
#[derive(Debug, Default)]
struct Heard {
    acknowledged: u64,
    rejected: u64,
    rejection: Option<String>,
    synced: bool,
    latencies: Latencies,
    last: Option<Instant>,
}

/// Sends until it is over, and waits for the last answer.
pub(super) fn send(args: &BenchArgs, mut load: Load, stop: &Stop) -> Result<Sent, CommandError> {
    let address = &args.server.addr;
    let failed = |error: io::Error| CommandError::client(address, &ClientError::Io(error));
    let mut stream = TcpStream::connect(address.as_str()).map_err(failed)?;
    let incoming = stream.try_clone().map_err(failed)?;
    let pending = Pending::default();
    let level = args.ack.ack;
    let pieces = load.pieces(PIECE_BYTES);
    let (_, values_of_round) = load.counts();
    let mut sent = Sent::default();
    let started = Instant::now();
    let heard = thread::scope(|scope| {
        let answers = scope.spawn(|| hear(BufReader::new(incoming), &pending));
        let sending = (|| {
            stream.write_all(&directives(args))?;
            'rounds: loop {
                let mut start = 0;
                for &(end, lines) in &pieces {
                    if stop.is_over() {
                        break 'rounds;
                    }
                    sent.rows += lines;
                    if level != AckLevel::None {
                        lock(&pending).push_back((sent.rows, Instant::now()));
                    }
                    stream.write_all(&load.text()[start..end])?;
                    sent.bytes += (end - start) as u64;
                    start = end;
                }
                sent.values += values_of_round;
                if !load.advance() {
                    break;
                }
            }
            sent.sending = started.elapsed();
            let mut sync = Vec::new();
            if level == AckLevel::None {
                Directive::Sync.encode(&mut sync);
            }
            stream.write_all(&sync)?;
            stream.shutdown(Shutdown::Write)
        })();
        if sending.is_err() {
            // Wakes the thread that listens.
            let _ = stream.shutdown(Shutdown::Both);
        }
        let heard = answers
            .join()
            .unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
        sending.and(heard)
    })
    .map_err(failed)?;
    // A round that was cut short: its values are those of its rows, on average.
    let (rows_of_round, _) = load.counts();
    sent.values = (u128::from(sent.rows) * u128::from(values_of_round)
        / u128::from(rows_of_round.max(1))) as u64;
    let last = heard.last.unwrap_or(started);
    sent.until_last_answer = last.duration_since(started).max(sent.sending);
    sent.acknowledged = if heard.synced {
        sent.rows - heard.rejected
    } else {
        heard.acknowledged
    };
    sent.rejected = heard.rejected;
    sent.rejection = heard.rejection;
    sent.latencies = heard.latencies;
    if sent.acknowledged + sent.rejected < sent.rows {
        return Err(CommandError::Failed(format!(
            "{address}: the server closed after {} of {} rows were acknowledged{}",
            sent.acknowledged,
            sent.rows,
            sent.rejection
                .map(|first| format!("; it said: {first}"))
                .unwrap_or_default()
        )));
    }
    Ok(sent)
}

fn directives(args: &BenchArgs) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(token) = &args.server.token {
        Directive::Auth(token).encode(&mut out);
    }
    if let Some(database) = &args.server.db {
        Directive::Database(database).encode(&mut out);
    }
    Directive::Ack(args.ack.ack).encode(&mut out);
    out
}

/// Reads answers to the end. A piece is answered when as many rows have been.
fn hear(mut incoming: impl BufRead, pending: &Pending) -> io::Result<Heard> {
    let mut heard = Heard::default();
    let mut line = String::new();
    while incoming.read_line(&mut line)? > 0 {
        let now = Instant::now();
        heard.last = Some(now);
        match Answer::parse(&line) {
            Ok(Answer::Acknowledged { rows, .. }) => heard.acknowledged += rows,
            Ok(Answer::Rejected { .. }) => {
                heard.rejected += 1;
                heard
                    .rejection
                    .get_or_insert_with(|| line.trim_end().to_owned());
            }
            Ok(Answer::Synced { .. }) => heard.synced = true,
            Ok(Answer::Pong) => {}
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
        let answered = heard.acknowledged + heard.rejected;
        let mut pending = lock(pending);
        while let Some(&(rows, at)) = pending.front()
            && rows <= answered
        {
            heard.latencies.push(now.duration_since(at));
            pending.pop_front();
        }
        drop(pending);
        line.clear();
    }
    Ok(heard)
}

fn lock(pending: &Pending) -> std::sync::MutexGuard<'_, VecDeque<(u64, Instant)>> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes written at a time; an acknowledgement's latency is that of such a piece.
const PIECE_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_answered_by_rows() {
        let pending = Pending::default();
        let now = Instant::now();
        for rows in [10, 20, 30] {
            lock(&pending).push_back((rows, now));
        }
        let answers = b"+100 9\n-7 bad_value no\n+200 15\n+synced 200\n";
        let heard = hear(&answers[..], &pending).expect("answers");
        assert_eq!(
            (heard.acknowledged, heard.rejected, heard.synced),
            (24, 1, true)
        );
        assert_eq!(heard.rejection.as_deref(), Some("-7 bad_value no"));
        assert_eq!((heard.latencies.len(), lock(&pending).len()), (2, 1));
        assert!(hear(&b"hello\n"[..], &pending).is_err());
    }
}

//! Rejected lines written again, once the cause was mended.
//!
//! A line goes the way of any other: it is parsed, checked and resolved anew. What is taken leaves `_rejected` in the
//! same unit of the log as its row is written, so that it is written once, whatever happens meanwhile. What is refused
//! stays, with the reason that it has now.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use edgetime_protocol::error::Code;
use edgetime_protocol::session::{Item, Session};

use crate::engine::{Access, Batch, DeadLetter, EngineError, Letters, OffsetRules, Offsets};
use crate::types::Timestamp;

use super::intake::{Intake, Refusal, refusal};
use super::letters::{Keeper, Line, reject};
use super::{Shared, line_limits, refusal_of_line};

/// What a replay came to.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Lines that were written.
    pub rows: u64,
    /// Of these, with a time that was mended by what was learned of their clock.
    pub restamped: u64,
    /// Lines that stay, by the reason they have now.
    pub refused: BTreeMap<&'static str, u64>,
    /// The first of them: number, and why.
    pub examples: Vec<(Timestamp, String)>,
    /// Why it ended early.
    pub stopped: Option<EngineError>,
}

/// Examples of lines that stay.
const EXAMPLES_MAX: usize = 10;

/// What was learned of the clocks of a database's devices.
pub fn offsets(shared: &Shared, access: &Access, database: &str) -> Result<Offsets, EngineError> {
    let mut samples = Vec::new();
    let mut visit = |letter: DeadLetter| {
        if let Some((device, offset)) = letter.clock {
            samples.push((device, letter.id, offset));
        }
        Ok(())
    };
    let engine = &shared.engine;
    for code in [Code::TimeOutOfRange, Code::TimeInFuture] {
        let letters = Letters::Code(code.name().to_owned());
        engine.visit_letters(access, database, &letters, &mut visit)?;
    }
    let ns =
        |seconds: u64| i64::try_from(seconds.saturating_mul(1_000_000_000)).unwrap_or(i64::MAX);
    let rules = OffsetRules {
        window_ns: ns(shared.config.engine.clock_window_s),
        tolerance_ns: ns(shared.config.engine.clock_tolerance_s),
    };
    Ok(Offsets::learn(samples, rules))
}

/// Writes rejected lines of a database again.
pub fn replay(
    shared: &Shared,
    access: &Access,
    database: &str,
    letters: &Letters,
) -> Result<Replayed, EngineError> {
    let engine = &shared.engine;
    // One at a time: what one has read no other may write.
    let _alone = engine.lock_replay();
    let offsets = offsets(shared, access, database)?;
    let mut replay = Replay {
        shared,
        intake: None,
        offsets,
        batch: engine.batch(),
        batch_number: 0,
        report: Replayed::default(),
        begun: engine.server_time().now,
        tried: HashSet::new(),
    };
    let visited = engine.visit_letters(access, database, letters, &mut |letter| {
        replay.replay(&letter)
    });
    replay.report.stopped = visited.err();
    engine.sync()?;
    Ok(replay.report)
}

struct Replay<'a> {
    shared: &'a Shared,
    intake: Option<Intake>,
    offsets: Offsets,
    batch: Batch,
    batch_number: u64,
    report: Replayed,
    /// What is refused from now on is not this replay's.
    begun: Timestamp,
    /// Lines that were tried, and are met once more under another reason.
    tried: HashSet<Timestamp>,
}

/// Why a line stays, and whose clock it is where that is the reason.
type Refused = (Refusal, Option<String>);

impl Replay<'_> {
    fn replay(&mut self, letter: &DeadLetter) -> Result<(), EngineError> {
        if letter.id > self.begun || !self.tried.insert(letter.id) {
            return Ok(());
        }
        let engine = &self.shared.engine;
        let (refused, device) = match self.attempt(letter) {
            Ok(restamped) => match engine.replay_letter(&mut self.batch, letter) {
                Ok(_) => {
                    self.report.rows += 1;
                    self.report.restamped += u64::from(restamped);
                    self.shared.committer.written();
                    return Ok(());
                }
                Err(error @ EngineError::TooLarge { .. }) => (refusal(&error), None),
                // Not this line's fault, and true of those behind it.
                Err(error) => return Err(error),
            },
            Err(refused) => refused,
        };
        let reject = reject(
            &letter.source,
            &line_of(letter),
            &refused,
            device.as_deref(),
        );
        if !refused.code.is_retryable() {
            engine.keep_letter(letter, &reject)?;
        }
        let code = refused.code.name();
        *self.report.refused.entry(code).or_default() += 1;
        if self.report.examples.len() < EXAMPLES_MAX {
            let why = format!("{code} {}", refused.message);
            self.report.examples.push((letter.id, why));
        }
        Ok(())
    }

    /// Makes a batch of the line's row; whether its time was mended.
    fn attempt(&mut self, letter: &DeadLetter) -> Result<bool, Refused> {
        let engine = &self.shared.engine;
        let stays = |why: String| {
            let code = Code::from_name(&letter.code).unwrap_or(Code::BadSyntax);
            (Refusal::new(code, why), None)
        };
        if let Some(len) = letter.cut_from {
            let kept = letter.raw.len();
            return Err(stays(format!(
                "only {kept} of its {len} bytes were kept; send it again"
            )));
        }
        if *letter.code == *Code::BadDatabaseName.name() {
            return Err(stays(
                "the database that it was meant for was refused; send it again".to_owned(),
            ));
        }
        let intake = self
            .intake
            .get_or_insert_with(|| Intake::new(Arc::clone(engine), None, letter.database));
        let mut session = Session::new(line_limits());
        session.set_precision(letter.precision);
        session.finish();
        let mut row = match session.next(&letter.raw, intake.hints()) {
            Item::Row(row) => row,
            Item::Rejected(rejected) => {
                let error = rejected.error;
                return Err((refusal_of_line(&error), None));
            }
            Item::Directive(_) | Item::Incomplete { .. } => {
                return Err(stays("it is no row".to_owned()));
            }
        };
        // Its time is judged as of when it came.
        let bounds = engine.time_bounds_at(letter.id);
        let own = row.time;
        let mut restamped = false;
        if let Some(time) = own
            && let Err(error) = bounds.check(time)
            && matches!(
                error,
                EngineError::TooEarly { .. } | EngineError::TooLate { .. }
            )
        {
            let keeper = Keeper {
                shared: self.shared,
                database: letter.database,
                source: &letter.source,
            };
            let known = letter.clock.as_ref().map(|(device, _)| device.clone());
            let device = known.unwrap_or_else(|| {
                keeper.device_of(&Line {
                    key: row.key,
                    ..line_of(letter)
                })
            });
            let offset = time.saturating_sub(letter.id);
            match self.offsets.offset(&device, letter.id, offset) {
                Ok(learned) => row.time = Some(time.saturating_sub(learned)),
                Err(reason) => {
                    let mut refused = refusal(&error);
                    refused.message = format!("{}; {device}: {reason}", refused.message);
                    return Err((refused, Some(device)));
                }
            }
            restamped = true;
        }
        // A row without a time has that of its refusal, or the next that its series has no row at.
        let mut time = row.time.unwrap_or(letter.id);
        loop {
            self.batch.clear();
            self.batch_number += 1;
            row.time = Some(time);
            let batch = (&mut self.batch, self.batch_number);
            if let Err(mut refused) = intake.push(&row, &bounds, batch, 0) {
                refused.time = None;
                return Err((refused, None));
            }
            match engine.has_row_at(&self.batch) {
                Ok(true) if own.is_none() => time += 1,
                Ok(_) => return Ok(restamped),
                Err(error) => return Err((refusal(&error), None)),
            }
        }
    }
}

/// The line of a letter; its key is not told yet.
fn line_of(letter: &DeadLetter) -> Line<'_> {
    Line {
        number: letter.line as u64,
        raw: &letter.raw,
        key: &[],
        precision: letter.precision,
    }
}

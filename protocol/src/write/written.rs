//! What became of a batch: how many rows were taken, and which were refused for which reason.
//!
//! Rows count from 0 over all sections of the batch. Invariant: those of one reason ascend.

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::Code;
use crate::types::AckLevel;
use crate::wire::{PayloadError, Reader, put_bytes, put_varint};

use super::ROWS_MAX;

/// Bit of an answer's flags: the batch had been stored before.
const DUPLICATE: u8 = 0x04;
/// Bits of an answer's flags that are the level reached.
const LEVEL: u8 = 0x03;

/// The answer to a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The level that the rows have reached.
    pub level: AckLevel,
    /// The batch had been stored before, and was not stored again.
    pub duplicate: bool,
    /// Position in the log behind the rows.
    pub position: u64,
    /// Rows taken.
    pub rows: u64,
    /// Rows refused, by reason.
    pub refused: Vec<Refused>,
}

/// Rows that were refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The number of the code, see [`Code`].
    pub code: u16,
    /// What was wrong with the first of them, for people.
    pub message: String,
    /// The rows, ascending.
    pub rows: Vec<u32>,
}

impl Refused {
    /// The code, where this side knows it.
    #[must_use]
    pub fn known_code(&self) -> Option<Code> {
        Code::from_number(self.code)
    }
}

impl Written {
    /// Notes a refused row. Rows come in any order.
    pub fn refuse(&mut self, row: u32, code: Code, message: impl FnOnce() -> String) {
        let code = code.number();
        let known = self.refused.iter_mut().find(|refused| refused.code == code);
        if let Some(refused) = known {
            refused.rows.push(row);
            return;
        }
        self.refused.push(Refused {
            code,
            message: message(),
            rows: Vec::from([row]),
        });
    }

    /// Brings refused rows into their order; before it is encoded.
    pub fn sort(&mut self) {
        for refused in &mut self.refused {
            refused.rows.sort_unstable();
        }
    }

    /// How many rows were refused.
    #[must_use]
    pub fn refused_count(&self) -> u64 {
        self.refused
            .iter()
            .map(|refused| refused.rows.len() as u64)
            .sum()
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.level as u8 | if self.duplicate { DUPLICATE } else { 0 });
        put_varint(out, self.position);
        put_varint(out, self.rows);
        put_varint(out, self.refused.len() as u64);
        for refused in &self.refused {
            out.extend_from_slice(&refused.code.to_le_bytes());
            put_bytes(out, refused.message.as_bytes());
            put_varint(out, refused.rows.len() as u64);
            let mut next = 0;
            for &row in &refused.rows {
                put_varint(out, u64::from(row.wrapping_sub(next)));
                next = row.wrapping_add(1);
            }
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, PayloadError> {
        let error = reader.error("known flags");
        let flags = reader.byte()?;
        let level = match flags & LEVEL {
            0 => AckLevel::None,
            1 => AckLevel::Accepted,
            2 => AckLevel::Durable,
            _ => return Err(error),
        };
        if flags & !(LEVEL | DUPLICATE) != 0 {
            return Err(error);
        }
        Ok(Self {
            level,
            duplicate: flags & DUPLICATE != 0,
            position: reader.varint()?,
            rows: reader.varint()?,
            refused: (0..reader.count()?)
                .map(|_| Refused::decode(reader))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Refused {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, PayloadError> {
        let code = u16::from_le_bytes(reader.array()?);
        let message = reader.str()?.into();
        let mut next = 0u64;
        let rows = (0..reader.count()?)
            .map(|_| {
                let error = reader.error("a row of the batch");
                let row = next.checked_add(reader.varint()?).ok_or(error)?;
                next = row.checked_add(1).ok_or(error)?;
                u32::try_from(row)
                    .ok()
                    .filter(|&row| (row as usize) < ROWS_MAX)
                    .ok_or(error)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            code,
            message,
            rows,
        })
    }
}

//! Line numbers of a writer: the server counts the directives that the writer sent by itself, its caller does not.

use std::collections::VecDeque;

/// Where the session's own lines stand among the caller's.
#[derive(Debug, Default)]
pub(super) struct OwnLines {
    /// For each own line, how many of the caller's stood before it. Only the newest are kept.
    caller_lines: VecDeque<u64>,
    /// Own lines before those.
    forgotten: u64,
}

/// Own lines kept; a rejection older than so many syncs gets a number that is too large.
const OWN_LINES_MAX: usize = 4096;

impl OwnLines {
    pub(super) fn push(&mut self, caller_lines: u64, count: usize) {
        for _ in 0..count {
            if self.caller_lines.len() == OWN_LINES_MAX {
                self.caller_lines.pop_front();
                self.forgotten += 1;
            }
            self.caller_lines.push_back(caller_lines);
        }
    }

    /// The caller's number of a line of the connection: without the own lines before it; 0 for an own one.
    pub(super) fn line_of_caller(&self, line: u64) -> u64 {
        let (mut before, mut above) = (0, self.caller_lines.len());
        // Own line `i` stands at this line of the connection; it ascends with `i`.
        let stands_at = |i: usize| self.caller_lines[i] + self.forgotten + i as u64 + 1;
        while before < above {
            let middle = before.midpoint(above);
            if stands_at(middle) < line {
                before = middle + 1;
            } else {
                above = middle;
            }
        }
        if before < self.caller_lines.len() && stands_at(before) == line {
            return 0;
        }
        line.saturating_sub(self.forgotten + before as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn own_lines_are_left_out_of_the_count() {
        // Connection: own, caller 1, caller 2, own, own, caller 3.
        let mut own = OwnLines::default();
        own.push(0, 1);
        own.push(2, 2);
        let numbers: Vec<u64> = (1..=6).map(|line| own.line_of_caller(line)).collect();
        assert_eq!(numbers, [0, 1, 2, 0, 0, 3]);
        own.push(10, OWN_LINES_MAX);
        assert_eq!(own.caller_lines.len(), OWN_LINES_MAX);
        let line = 3 + OWN_LINES_MAX as u64 + 11;
        assert_eq!(own.line_of_caller(line), 11);
    }
}

//! A Rust file as the checks see it: code without comments and literals, the literals, and which lines are tests.
//!
//! Not a parser: a scanner that knows where comments, strings and characters begin and end, and counts braces.

/// One file, and what was found in it.
#[derive(Debug)]
pub struct Source {
    /// Path from the root of the repository, with `/`.
    pub path: String,
    /// The file as it is.
    pub text: String,
    /// The lines of the code, with comments and the insides of literals blanked.
    pub code: Vec<String>,
    /// Strings, with the line on which each begins, counted from 0.
    pub literals: Vec<(usize, String)>,
    /// For each line, whether only tests see it.
    pub in_test: Vec<bool>,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let mut scanner = Scanner::new(text);
        scanner.run();
        let code: Vec<String> = scanner.code.split('\n').map(str::to_owned).collect();
        let in_test = test_lines(&code, is_test_path(path));
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            literals: scanner.literals,
            in_test,
        }
    }

    /// The module of the library that the file belongs to: `src/log/frame.rs` is of `log`.
    pub fn module(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let first = inside.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    }

    /// Lines of code, counted from 1, and whether only tests see them.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        self.code
            .iter()
            .zip(&self.in_test)
            .enumerate()
            .map(|(index, (line, in_test))| (index + 1, line.as_str(), *in_test))
    }
}

/// Whether `text` holds `word` with no letter, digit or `_` directly before or behind it.
pub fn has_word(text: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let open = |c: Option<char>, edge: Option<char>| {
        !(c.is_some_and(is_name) && edge.is_some_and(is_name))
    };
    text.match_indices(word).any(|(at, _)| {
        open(text[..at].chars().next_back(), word.chars().next())
            && open(
                text[at + word.len()..].chars().next(),
                word.chars().next_back(),
            )
    })
}

/// Files that only tests see: integration tests, and modules of tests beside the code.
fn is_test_path(path: &str) -> bool {
    let stem = path
        .rsplit('/')
        .next()
        .unwrap_or(path)
        .trim_end_matches(".rs");
    path.starts_with("tests/")
        || path.contains("/tests/")
        || stem == "tests"
        || stem.starts_with("test_")
        || stem.ends_with("_tests")
}

/// Marks the bodies of `#[cfg(test)]` items.
fn test_lines(code: &[String], whole: bool) -> Vec<bool> {
    let mut marks = vec![whole; code.len()];
    let mut index = 0;
    while index < code.len() {
        let line = code[index].trim_start();
        if !line.starts_with("#[cfg(test)]") && !line.starts_with("#[cfg(all(test") {
            index += 1;
            continue;
        }
        let mut depth = 0_usize;
        let mut ended = false;
        while index < code.len() && !ended {
            marks[index] = true;
            for c in code[index].chars() {
                match c {
                    '{' => depth += 1,
                    '}' => {
                        depth = depth.saturating_sub(1);
                        ended |= depth == 0;
                    }
                    ';' => ended |= depth == 0,
                    _ => {}
                }
            }
            index += 1;
        }
    }
    marks
}

struct Scanner<'a> {
    chars: Vec<char>,
    text: &'a str,
    at: usize,
    line: usize,
    code: String,
    literals: Vec<(usize, String)>,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            chars: text.chars().collect(),
            text,
            at: 0,
            line: 0,
            code: String::with_capacity(text.len()),
            literals: Vec::new(),
        }
    }

    fn run(&mut self) {
        while let Some(c) = self.peek(0) {
            match c {
                '/' if self.peek(1) == Some('/') => self.blank_while(|s| s.peek(0) != Some('\n')),
                '/' if self.peek(1) == Some('*') => self.block_comment(),
                '"' => self.string(0, true),
                'r' if !self.in_name() => self.raw_or_name(),
                '\'' => self.character_or_lifetime(),
                _ => self.take(true),
            }
        }
        debug_assert_eq!(self.code.lines().count(), self.text.lines().count());
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    /// Whether the last character belongs to a name; `b`, `c` and `br` before a quote are prefixes.
    fn in_name(&self) -> bool {
        let before = |back: usize| self.at.checked_sub(back).and_then(|at| self.chars.get(at));
        let is_name = |c: Option<&char>| c.is_some_and(|c| c.is_alphanumeric() || *c == '_');
        match before(1) {
            Some('b' | 'c') => is_name(before(2)),
            c => is_name(c),
        }
    }

    fn take(&mut self, keep: bool) {
        if let Some(c) = self.peek(0) {
            self.at += 1;
            self.line += usize::from(c == '\n');
            self.code.push(if keep || c == '\n' { c } else { ' ' });
        }
    }

    fn blank_while(&mut self, condition: impl Fn(&Self) -> bool) {
        while self.at < self.chars.len() && condition(self) {
            self.take(false);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                (None, _) => return,
                _ => {
                    self.take(false);
                    continue;
                }
            }
            self.take(false);
            self.take(false);
            if depth == 0 {
                return;
            }
        }
    }

    /// A string whose end is a quote and `hashes` signs; only one without may escape.
    fn string(&mut self, hashes: usize, escapes: bool) {
        let line = self.line;
        self.take(true);
        let start = self.at;
        while let Some(c) = self.peek(0) {
            if c == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                break;
            }
            if c == '\\' && escapes {
                self.take(false);
            }
            self.take(false);
        }
        let end = self.at.min(self.chars.len());
        self.literals
            .push((line, self.chars[start..end].iter().collect()));
        for _ in 0..=hashes {
            self.take(true);
        }
    }

    fn raw_or_name(&mut self) {
        let rest = &self.chars[self.at + 1..];
        let hashes = rest.iter().take_while(|c| **c == '#').count();
        if self.peek(1 + hashes) == Some('"') {
            for _ in 0..=hashes {
                self.take(true);
            }
            self.string(hashes, false);
        } else {
            self.take(true);
        }
    }

    fn character_or_lifetime(&mut self) {
        let escaped = self.peek(1) == Some('\\');
        if !escaped && self.peek(2) != Some('\'') {
            return self.take(true);
        }
        self.take(true);
        if escaped {
            self.take(false);
        }
        self.take(false);
        self.blank_while(|s| s.peek(0) != Some('\''));
        self.take(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_code() {
        let source = Source::new(
            "src/x.rs",
            "a(\"b \\\" c\"); // d\n/* e /* f */ g */ h('i', '\\'', b'\"', &'j k);\nr#\"l \" m\"# + br\"n\\\" + for\"o\"",
        );
        assert_eq!(source.code[0].replace(' ', ""), "a(\"\");");
        assert_eq!(source.code[1].replace(' ', ""), "h('','',b'',&'jk);");
        assert_eq!(source.code[2].replace(' ', ""), "r#\"\"#+br\"\"+for\"\"");
        let literals: Vec<&str> = source
            .literals
            .iter()
            .map(|(_, text)| text.as_str())
            .collect();
        assert_eq!(literals, ["b \\\" c", "l \" m", "n\\", "o"]);
        assert_eq!(source.literals[1].0, 2);
    }

    #[test]
    fn bodies_of_tests_are_marked() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nmod d;\nfn e() {}";
        let source = Source::new("src/x.rs", text);
        let expected = [false, true, true, true, true, false, true, true, false];
        assert_eq!(source.in_test, expected);
        assert!(Source::new("src/x/tests.rs", "fn a() {}").in_test[0]);
        assert!(Source::new("tests/x.rs", "fn a() {}").in_test[0]);
    }

    #[test]
    fn words_have_edges() {
        assert!(has_word("a sleep(1)", "sleep"));
        assert!(!has_word("a sleeper(1)", "sleep"));
        assert!(!has_word("no_sleep", "sleep"));
        assert!(has_word("std::net::TcpStream", "std::net"));
        assert!(has_word("dbg!(x)", "dbg!"));
    }
}

//! Calls that have no place where they stand: clocks, threads, sockets, chance, prints, sleeps, `unsafe`.

use super::source::{Source, has_word};

/// Where a ban holds.
#[derive(Clone, Copy, PartialEq)]
enum Where {
    /// Below the server, tests included.
    Below,
    /// Below the server, but for its tests.
    BelowUntested,
    /// Below the server, and in every test.
    BelowAndTests,
    /// Everywhere.
    Everywhere,
}

/// A ban: its words, where it holds, the paths it spares, and what to do instead.
struct Ban {
    words: &'static [&'static str],
    place: Where,
    spared: &'static [&'static str],
    instead: &'static str,
}

const BANS: [Ban; 9] = [
    Ban {
        words: &["TcpStream", "TcpListener", "UdpSocket", "ToSocketAddrs"],
        place: Where::Below,
        spared: &[CLIENT],
        instead: "sockets belong to the server",
    },
    Ban {
        words: &["thread::spawn", "thread::Builder", "thread::scope"],
        place: Where::BelowUntested,
        spared: &["src/meta/", CLIENT],
        instead: "executors are passed in",
    },
    Ban {
        words: &["SystemTime::now", "UNIX_EPOCH.elapsed"],
        place: Where::BelowAndTests,
        spared: &["src/clock.rs"],
        instead: "take a `Clock`",
    },
    Ban {
        words: &["Instant::now"],
        place: Where::Below,
        spared: &["src/clock.rs", CLIENT],
        instead: "take a `Clock`",
    },
    Ban {
        words: &[
            "rand::",
            "thread_rng",
            "getrandom",
            "fastrand",
            "RandomState",
        ],
        place: Where::BelowAndTests,
        spared: &[CLIENT],
        instead: "take a seed",
    },
    Ban {
        words: &["println!", "eprintln!", "print!", "eprint!"],
        place: Where::BelowUntested,
        spared: &[],
        instead: "return it, or use `tracing`",
    },
    Ban {
        words: &["dbg!", "todo!", "unimplemented!"],
        place: Where::Everywhere,
        spared: &[],
        instead: "finish it",
    },
    Ban {
        words: &["sleep", "sleep_until"],
        place: Where::BelowAndTests,
        spared: &[CLIENT],
        instead: "wait for the event itself",
    },
    Ban {
        words: &[concat!("#[", "ignore"), "#[should_panic]"],
        place: Where::Everywhere,
        spared: &[],
        instead: "a test runs, and names the panic it expects",
    },
];

/// Calls that are banned where they stand.
pub fn banned(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        let below = is_below_server(source);
        for ban in &BANS {
            if ban
                .spared
                .iter()
                .any(|spared| source.path.starts_with(spared))
            {
                continue;
            }
            for (number, line, in_test) in source.lines() {
                let holds = match ban.place {
                    Where::Below => below,
                    Where::BelowUntested => below && !in_test,
                    Where::BelowAndTests => below || in_test,
                    Where::Everywhere => true,
                };
                for word in ban.words {
                    if holds && has_word(line, word) {
                        let (path, instead) = (&source.path, ban.instead);
                        faults.push(format!("{path}:{number}: `{word}`: {instead}"));
                    }
                }
            }
        }
    }
    faults
}

/// `unsafe` outside its two files, and within them without a reason.
pub fn unsafe_code(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        let raw: Vec<&str> = source.text.split('\n').collect();
        for (number, line, _) in source.lines() {
            if !has_word(line, "unsafe") {
                continue;
            }
            let path = &source.path;
            if !UNSAFE_FILES.contains(&path.as_str()) {
                faults.push(format!(
                    "{path}:{number}: `unsafe` belongs into {UNSAFE_FILES:?}"
                ));
            } else if !line.contains("unsafe fn") && !has_reason(&raw[..number]) {
                faults.push(format!(
                    "{path}:{number}: say why in a `// SAFETY:` comment above"
                ));
            }
        }
    }
    faults
}

/// Whether the comment right above the last line, or on it, gives the reason of an `unsafe`. The statement may
/// have begun up to three lines before.
fn has_reason(raw: &[&str]) -> bool {
    let mut code_lines = 0;
    for line in raw.iter().rev() {
        if line.contains("SAFETY:") {
            return true;
        }
        let line = line.trim_start();
        if !line.starts_with("//") && !line.starts_with("#[") {
            code_lines += 1;
        }
        if code_lines > 4 {
            return false;
        }
    }
    false
}

/// Addresses with a port of their own, where tests bind, connect, or pass them as a flag.
pub fn fixed_ports(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        for (position, (index, text)) in source.literals.iter().enumerate() {
            let near = &source.code[index.saturating_sub(1)..=*index];
            let is_call = |line: &String| line.contains("bind(") || line.contains("connect(");
            let before = position
                .checked_sub(1)
                .map_or("", |before| &source.literals[before].1);
            let is_flag = |text: &str| ADDRESS_FLAGS.iter().any(|flag| text.starts_with(flag));
            let is_used = near.iter().any(is_call) || is_flag(before) || is_flag(text);
            if source.in_test[*index] && is_used && has_fixed_port(text) {
                let path = &source.path;
                faults.push(format!("{path}:{}: `{text}`: use port 0", index + 1));
            }
        }
    }
    faults
}

/// Whether the text holds `HOST:PORT` with a local host and a port that is not 0.
fn has_fixed_port(text: &str) -> bool {
    ["127.0.0.1:", "localhost:", "0.0.0.0:", "[::1]:", "[::]:"]
        .iter()
        .any(|host| {
            text.match_indices(host).any(|(at, _)| {
                let rest = &text[at + host.len()..];
                rest.starts_with(|c: char| ('1'..='9').contains(&c))
            })
        })
}

/// Whether the file belongs to a layer that knows no tokio, no clock and no chance.
fn is_below_server(source: &Source) -> bool {
    match source.module() {
        Some(module) => !["server", "cli", "main"].contains(&module),
        None => source.path.starts_with("protocol/src/"),
    }
}

/// The client runs in the program of somebody else, who has sockets, threads and timeouts.
const CLIENT: &str = "protocol/src/client";

/// Flags of the binary whose value is an address to listen on.
const ADDRESS_FLAGS: [&str; 4] = ["--listen", "--admin", "--http", "--udp"];

/// The files that may hold `unsafe`.
const UNSAFE_FILES: [&str; 2] = ["src/storage/mmap.rs", "src/codec/simd.rs"];

#[cfg(test)]
mod tests {
    use super::*;

    fn count(check: fn(&[Source]) -> Vec<String>, path: &str, text: &str) -> usize {
        check(&[Source::new(path, text)]).len()
    }

    #[test]
    fn every_banned_word_is_found() {
        for ban in &BANS {
            for word in ban.words {
                let text = format!("fn f() {{ x = {word}(); }}");
                assert_eq!(count(banned, "src/engine/mod.rs", &text), 1, "{word}");
                for spared in ban.spared {
                    assert_eq!(count(banned, spared, &text), 0, "{word} in {spared}");
                }
            }
        }
    }

    #[test]
    fn bans_hold_where_they_should() {
        let test = |body: &str| format!("#[cfg(test)]\nmod tests {{ fn f() {{ {body} }} }}");
        assert_eq!(
            count(
                banned,
                "src/server/mod.rs",
                "TcpListener::bind(a); Instant::now(); sleep(x);"
            ),
            0
        );
        assert_eq!(
            count(banned, "src/server/mod.rs", &test("thread::sleep(x);")),
            1
        );
        assert_eq!(
            count(
                banned,
                "src/engine/mod.rs",
                &test("thread::spawn(f); println!();")
            ),
            0
        );
        assert_eq!(
            count(banned, "src/engine/mod.rs", &test("Instant::now();")),
            1
        );
        assert_eq!(count(banned, "tests/wire.rs", "std::thread::sleep(x);"), 1);
        assert_eq!(count(banned, "tests/wire.rs", "Instant::now();"), 0);
        assert_eq!(
            count(
                banned,
                "tests/wire.rs",
                concat!("#[", "ignore = \"slow\"]\nfn f() {}")
            ),
            1
        );
        assert_eq!(
            count(banned, "protocol/src/frame.rs", "use std::net::TcpStream;"),
            1
        );
        assert_eq!(
            count(
                banned,
                "src/engine/mod.rs",
                "// dbg!(x)\nlet x = \"todo!\";"
            ),
            0
        );
    }

    #[test]
    fn unsafe_is_found_outside_its_files_and_without_a_reason() {
        assert_eq!(count(unsafe_code, "src/engine/mod.rs", "unsafe { f() }"), 1);
        assert_eq!(count(unsafe_code, "tests/wire.rs", "unsafe fn f() {}"), 1);
        assert_eq!(
            count(
                unsafe_code,
                "src/storage/mmap.rs",
                "let x = 1;\nunsafe { f() }"
            ),
            1
        );
        let reason = "// SAFETY: the map outlives the slice.\nlet x = unsafe { f() };";
        assert_eq!(count(unsafe_code, "src/storage/mmap.rs", reason), 0);
        assert_eq!(
            count(
                unsafe_code,
                "src/engine/mod.rs",
                "#![forbid(unsafe_code)] // unsafe"
            ),
            0
        );
    }

    #[test]
    fn fixed_ports_are_found_where_they_are_bound() {
        let faults = |text| count(fixed_ports, "tests/wire.rs", text);
        assert_eq!(faults("TcpListener::bind(\"127.0.0.1:7480\")"), 1);
        assert_eq!(faults("TcpStream::connect(\n    \"localhost:7480\",\n)"), 1);
        assert_eq!(faults("args([\"--listen\", \"127.0.0.1:7480\"])"), 1);
        assert_eq!(faults("TcpListener::bind(\"127.0.0.1:0\")"), 0);
        assert_eq!(faults("assert_eq!(config.data, \"127.0.0.1:7480\")"), 0);
    }
}

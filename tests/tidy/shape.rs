//! How files look: what opens them, how long they are, what they must not leave behind or speak of.

use super::source::{Source, has_word};

/// Files that do not open with `//!`.
pub fn openings(sources: &[Source]) -> Vec<String> {
    sources
        .iter()
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| format!("{}: say in `//!` what the file owns", source.path))
        .collect()
}

/// Files that hold more than one concept, by their length.
pub fn lengths(sources: &[Source]) -> Vec<String> {
    sources
        .iter()
        .map(|source| (source, source.text.lines().count()))
        .filter(|(_, count)| *count > LINES_MAX)
        .map(|(source, count)| format!("{}: {count} lines, at most {LINES_MAX}", source.path))
        .collect()
}

/// Marks of unfinished work, in files of every kind.
pub fn unfinished(files: &[(String, String)]) -> Vec<String> {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    let mut faults = Vec::new();
    for (path, text) in files {
        for (number, line) in text.lines().enumerate() {
            for mark in marks {
                if has_word(line, mark) {
                    faults.push(format!("{path}:{}: {mark}", number + 1));
                }
            }
        }
    }
    faults
}

/// Words about where and how the project is made: it stands for itself.
pub fn workshop(files: &[(String, String)]) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, text) in files {
        for (number, line) in text.lines().enumerate() {
            let line = line.to_lowercase();
            for word in WORKSHOP {
                let spared = path == ".ci/run" && SHARED.contains(word);
                if !spared && has_word(&line, word) {
                    faults.push(format!("{path}:{}: `{word}`", number + 1));
                }
            }
            if numbered_issue(&line) {
                faults.push(format!("{path}:{}: a numbered issue", number + 1));
            }
        }
    }
    faults
}

/// Whether the line, in lower case, speaks of an issue by its number.
fn numbered_issue(line: &str) -> bool {
    line.match_indices(concat!("iss", "ue")).any(|(at, word)| {
        let rest = line[at + word.len()..].trim_start_matches([' ', '#', 's']);
        let gap = &line[at + word.len()..line.len() - rest.len()];
        gap.contains([' ', '#']) && rest.starts_with(|c: char| c.is_ascii_digit())
    })
}

/// Top-level entries that are not of the house.
pub fn top_level(entries: &[String]) -> Vec<String> {
    entries
        .iter()
        .filter(|entry| !TOP_LEVEL.contains(&entry.as_str()))
        .map(|entry| format!("{entry}: not one of {TOP_LEVEL:?}"))
        .collect()
}

/// Dependencies of a `Cargo.toml` without a comment on their line, or above, that says what they are for.
pub fn dependencies(path: &str, manifest: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut in_section = false;
    let mut before = "";
    for (number, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            in_section = line.trim_end().ends_with("dependencies]");
        } else if in_section && line.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            let reason = line
                .split_once(" #")
                .is_some_and(|(_, reason)| reason.trim().len() > 2);
            if !reason && !before.starts_with('#') {
                let name = line.split('=').next().unwrap_or(line).trim();
                faults.push(format!(
                    "{path}:{}: `{name}`: say what it is for",
                    number + 1
                ));
            }
        }
        before = line;
    }
    faults
}

/// Fuzz targets that `fuzz/Cargo.toml` lists but `fuzz/fuzz_targets` lacks, and the other way round.
pub fn fuzz_targets(manifest: &str, files: &[String]) -> Vec<String> {
    let mut listed = Vec::new();
    let mut in_bin = false;
    let mut faults = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_bin = line.trim_end() == "[[bin]]";
        }
        let value = |key: &str| {
            let rest = line.strip_prefix(key)?.trim_start().strip_prefix('=')?;
            Some(rest.trim().trim_matches('"').to_owned())
        };
        if in_bin {
            listed.extend(value("name"));
            if let (Some(path), Some(name)) = (value("path"), listed.last())
                && path != format!("fuzz_targets/{name}.rs")
            {
                faults.push(format!("fuzz/Cargo.toml: target `{name}` has path {path}"));
            }
        }
    }
    for name in &listed {
        if !files.contains(&format!("{name}.rs")) {
            faults.push(format!("fuzz/Cargo.toml: target `{name}` has no file"));
        }
    }
    for file in files {
        if !listed.iter().any(|name| *file == format!("{name}.rs")) {
            faults.push(format!(
                "fuzz/fuzz_targets/{file}: not listed in fuzz/Cargo.toml"
            ));
        }
    }
    faults
}

/// Most lines of a file.
const LINES_MAX: usize = 800;

/// What stands at the top of the repository.
const TOP_LEVEL: [&str; 17] = [
    ".ci",
    ".git",
    ".gitignore",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "benches",
    "deny.toml",
    "docs",
    "fuzz",
    "protocol",
    "src",
    "target",
    "tests",
];

/// The folder of test data, which only the script of the integration names.
const SHARED: [&str; 2] = [concat!("shar", "ed/"), concat!("../shar", "ed")];

/// Words in lower case; split, so that this file does not hold them.
const WORKSHOP: &[&str] = &[
    SHARED[0],
    SHARED[1],
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("work", "place"),
    concat!("work", "tree"),
    concat!("c", "eo"),
    concat!("cla", "ude"),
    concat!("anthro", "pic"),
    concat!("lang", "uage model"),
    concat!("help", "er session"),
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("deb", "ian.org"),
    concat!("npm", "js.org"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Vec<(String, String)> {
        vec![("docs/x.md".to_owned(), text.to_owned())]
    }

    #[test]
    fn a_file_without_an_opening_is_found() {
        let source = |text: &str| vec![Source::new("src/x.rs", text)];
        assert_eq!(openings(&source("use std::io;")).len(), 1);
        assert_eq!(
            openings(&source("//! What it owns.\nuse std::io;")).len(),
            0
        );
    }

    #[test]
    fn a_long_file_is_found() {
        let source = |count| vec![Source::new("src/x.rs", &"\n".repeat(count))];
        assert_eq!(lengths(&source(LINES_MAX + 1)).len(), 1);
        assert_eq!(lengths(&source(LINES_MAX)).len(), 0);
    }

    #[test]
    fn unfinished_work_is_found() {
        for mark in [
            concat!("TO", "DO"),
            concat!("FIX", "ME"),
            concat!("XX", "X"),
        ] {
            assert_eq!(unfinished(&file(&format!("a\n// {mark}: b"))).len(), 1);
            assert_eq!(unfinished(&file(&format!("a{mark}"))).len(), 0);
        }
    }

    #[test]
    fn words_of_the_workshop_are_found() {
        for word in WORKSHOP {
            let faults = workshop(&file(&format!("see {word} there"))).len();
            assert!(faults >= 1, "{word}");
        }
        let numbered = concat!("closes iss", "ue");
        assert_eq!(workshop(&file(&format!("{numbered} 2"))).len(), 1);
        assert_eq!(workshop(&file(&format!("{numbered} #12"))).len(), 1);
        assert_eq!(
            workshop(&file(&format!("{numbered}s a frame of 16 bytes"))).len(),
            0
        );
        let script = |path: &str| vec![(path.to_owned(), format!("cd {}", SHARED[1]))];
        assert_eq!(
            workshop(&script(".ci/run")).len(),
            0,
            "it hands the folder to the tests"
        );
        assert_eq!(workshop(&script("README.md")).len(), 1);
    }

    #[test]
    fn a_stranger_at_the_top_is_found() {
        let entries = |name: &str| vec!["src".to_owned(), name.to_owned()];
        assert_eq!(top_level(&entries("scripts")).len(), 1);
        assert_eq!(top_level(&entries("docs")).len(), 0);
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\na = \"1\" # sums\nb = \"2\"\n# maps\nc = \"3\"\n\
                        [dev-dependencies]\nd = { version = \"1\" }\n";
        let faults = dependencies("Cargo.toml", manifest);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains("`b`") && faults[1].contains("`d`"));
    }

    #[test]
    fn fuzz_targets_that_do_not_match_are_found() {
        let manifest = "[[bin]]\nname = \"line\"\npath = \"fuzz_targets/line.rs\"\n";
        let files = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(fuzz_targets(manifest, &files(&["line.rs"])).len(), 0);
        assert_eq!(fuzz_targets(manifest, &files(&[])).len(), 1);
        assert_eq!(
            fuzz_targets(manifest, &files(&["line.rs", "sql.rs"])).len(),
            1
        );
        let elsewhere = manifest.replace("fuzz_targets/line", "line");
        assert_eq!(fuzz_targets(&elsewhere, &files(&["line.rs"])).len(), 1);
    }
}

//! Wrong usage in one line: what was wrong, and what would be right.

use std::process::ExitCode;

use clap::error::ErrorKind;

/// Prints help and versions to standard output, everything else as one line to standard error. `word` is the
/// first argument: the command, if it is one.
pub(super) fn report(error: &clap::Error, word: Option<&str>) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Closed output: the reader has had enough.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(2)
        }
        _ => {
            super::say(format_args!(
                "{}",
                one_line(&error.to_string(), word.filter(|word| is_subcommand(word)))
            ));
            ExitCode::from(2)
        }
    }
}

/// What was wrong, tips, the values that are possible and where help is; the rest is what the help says.
fn one_line(text: &str, command: Option<&str>) -> String {
    let mut parts: Vec<String> = Vec::new();
    let command = command
        .map(|command| format!("{command} "))
        .unwrap_or_default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if !line.starts_with("Usage: ") && !line.starts_with("For more information") {
            let line = line.strip_prefix("error: ").unwrap_or(line);
            match parts.last_mut() {
                Some(last) if line.starts_with('[') || last.ends_with(':') => {
                    last.push(' ');
                    last.push_str(line);
                }
                _ => parts.push(line.to_owned()),
            }
        }
    }
    format!(
        "edgetime: {}; see `edgetime {command}--help`",
        parts.join("; ")
    )
}

fn is_subcommand(word: &str) -> bool {
    use clap::CommandFactory as _;
    super::Cli::command().find_subcommand(word).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_parser_become_one_line() {
        let text = "error: invalid value 'cpu' for '--workload <WORKLOAD>'\n  [possible values: devops, iot]\n\n\
                    \x20 tip: a similar value exists: 'iot'\n\n\
                    Usage: edgetime generate --workload <WORKLOAD> <X>\n\nFor more information, try '--help'.\n";
        assert_eq!(
            one_line(text, Some("generate")),
            "edgetime: invalid value 'cpu' for '--workload <WORKLOAD>' [possible values: devops, iot]; \
             tip: a similar value exists: 'iot'; see `edgetime generate --help`"
        );
        let text = "error: the following required arguments were not provided:\n  --series <N>\n  --span <S>\n\n\
                    For more information, try '--help'.\n";
        assert_eq!(
            one_line(text, None),
            "edgetime: the following required arguments were not provided: --series <N>; --span <S>; \
             see `edgetime --help`"
        );
    }
}

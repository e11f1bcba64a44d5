//! Wrong usage in one line: what was wrong, and what would be right.

use std::process::ExitCode;

use clap::error::ErrorKind;

/// Prints help and versions to standard output, everything else as one line to standard error.
pub(super) fn report(error: &clap::Error) -> ExitCode {
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
            super::say(format_args!("{}", one_line(&error.to_string())));
            ExitCode::from(2)
        }
    }
}

/// What was wrong, tips, the values that are possible and where help is; the rest is what the help says.
fn one_line(text: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut help = "edgetime --help".to_owned();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(usage) = line.strip_prefix("Usage: ") {
            let words = usage.split(' ').take_while(|word| is_command(word));
            let command: Vec<&str> = words.collect();
            help = format!("{} --help", command.join(" "));
        } else if !line.starts_with("For more information") {
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
    format!("edgetime: {}; see `{help}`", parts.join("; "))
}

fn is_command(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
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
            one_line(text),
            "edgetime: invalid value 'cpu' for '--workload <WORKLOAD>' [possible values: devops, iot]; \
             tip: a similar value exists: 'iot'; see `edgetime generate --help`"
        );
        let text = "error: the following required arguments were not provided:\n  --series <N>\n  --span <S>\n\n\
                    For more information, try '--help'.\n";
        assert_eq!(
            one_line(text),
            "edgetime: the following required arguments were not provided: --series <N>; --span <S>; \
             see `edgetime --help`"
        );
    }
}

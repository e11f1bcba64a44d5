//! The whole command line: what is taken, and what is refused.

use super::*;

fn parse(line: &str) -> Result<Command, clap::Error> {
    Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
}

#[test]
fn the_definition_holds_together() {
    use clap::CommandFactory as _;
    Cli::command().debug_assert();
}

#[test]
fn every_subcommand_of_the_contract_is_taken() {
    for line in [
        "edgetime serve",
        "edgetime serve --data-dir d --config f --listen 127.0.0.1:0 --admin 127.0.0.1:0 --http 127.0.0.1:0 \
         --udp 127.0.0.1:0 --no-self-monitor --clock follow-data --print-config",
        "edgetime write",
        "edgetime write --addr localhost:1 --db plant --precision ms --ack accepted a.lp -",
        "edgetime query SELECT",
        "edgetime query --addr [::1]:7480 --db plant --format ndjson --time ms --exact --timeout 5s -",
        "edgetime admin",
        "edgetime admin --addr 127.0.0.1:1 status --json",
        "edgetime import --measurement m --time-column t --time-unit s --tag a=b --tag-column c --field f=x:integer a.csv -",
        "edgetime generate --workload devops --series 1 --span 1h",
        "edgetime bench ingest --embedded",
        "edgetime bench query --addr 127.0.0.1:1 --json",
        "edgetime bench mixed --workload iot --connections 4 --seconds 10",
        "edgetime codec --json a.csv",
        "edgetime inspect d --blocks --json",
    ] {
        if let Err(error) = parse(line) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn what_is_not_usage_is_refused() {
    for line in [
        "edgetime",
        "edgetime fly",
        "edgetime serve --clock sundial",
        "edgetime serve --set log",
        "edgetime write --ack maybe",
        "edgetime query",
        "edgetime query --format xml SELECT",
        "edgetime import a.csv",
        "edgetime inspect d --log --blocks",
        "edgetime codec",
    ] {
        let error = parse(line)
            .err()
            .unwrap_or_else(|| panic!("{line} is taken"));
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn flags_of_serve_become_overrides() {
    let parsed =
        parse("edgetime serve --no-self-monitor --clock follow-data --set log.sync_policy=always");
    let Ok(Command::Serve(args)) = parsed else {
        panic!("{parsed:?}");
    };
    let overrides = args.overrides();
    assert_eq!(overrides.self_monitor, Some(false));
    assert_eq!(overrides.clock, Some(crate::config::ClockKind::FollowData));
    let loaded = args
        .load([("EDGETIME_ADDR".to_owned(), "x:1".to_owned())])
        .expect("loads");
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert!(!loaded.config.general.self_monitor);
}

#[test]
fn what_contradicts_itself_is_wrong_usage() {
    let Ok(command) = parse("edgetime bench query --embedded") else {
        panic!("the parser takes it");
    };
    let error = command.run(&mut Vec::new()).expect_err("refused");
    assert!(matches!(error, CommandError::Usage(_)), "{error}");
}

#[test]
fn a_closed_output_is_no_failure() {
    let closed = CommandError::output(io::ErrorKind::BrokenPipe.into());
    assert!(matches!(closed, CommandError::OutputClosed));
    assert_eq!(closed.message(), None);
    let full = CommandError::output(io::ErrorKind::StorageFull.into());
    assert!(
        full.message()
            .is_some_and(|line| line.contains("standard output"))
    );
}

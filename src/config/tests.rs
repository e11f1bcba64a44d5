//! Precedence, messages, and that what is printed is read back.

use super::load::variable_of;
use super::*;

fn load(
    file: &str,
    environment: &[(&str, &str)],
    overrides: &Overrides,
) -> Result<Loaded, ConfigError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("edgetime.toml");
    std::fs::write(&path, file).expect("writes");
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(Some(&path), environment, overrides)
}

fn message(file: &str) -> String {
    let error = Config::from_toml(Path::new("e.toml"), file).expect_err("is refused");
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    text
}

#[test]
fn flag_before_environment_before_file_before_default() {
    let file = "admin = '127.0.0.1:1'\nlisten = '127.0.0.1:2'\nudp = '127.0.0.1:3'\n";
    let environment = [
        ("EDGETIME_LISTEN", "127.0.0.1:20"),
        ("EDGETIME_UDP", "[::1]:30"),
        ("EDGETIME_LOG_SYNC_POLICY", "always"),
        ("EDGETIME_SELF_MONITOR", "true"),
        ("UNRELATED", "x"),
    ];
    let overrides = Overrides {
        udp: Some(([127, 0, 0, 1], 300).into()),
        self_monitor: Some(false),
        others: vec![("log.interval_ms".to_owned(), "7".to_owned())],
        ..Overrides::default()
    };
    let loaded = load(file, &environment, &overrides).expect("loads");
    let config = &loaded.config;
    assert_eq!(config.general.http, None);
    assert_eq!(config.general.admin.port(), 1);
    assert_eq!(config.general.listen.port(), 20);
    assert_eq!(config.general.udp.map(|udp| udp.port()), Some(300));
    assert!(!config.general.self_monitor);
    assert_eq!(config.log.sync_policy, SyncPolicy::Always);
    assert_eq!(config.log.interval_ms, 7);
    assert_eq!(config.query, QueryConfig::default());
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert_eq!(loaded.sources["udp"], Source::Flag);
    assert!(matches!(loaded.sources["admin"], Source::File(_, Some(1))));
    assert_eq!(
        loaded.sources["listen"],
        Source::Environment("EDGETIME_LISTEN".to_owned())
    );
    assert!(!loaded.sources.contains_key("http"));
}

#[test]
fn every_flag_reaches_its_option() {
    let address = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
    let overrides = Overrides {
        data_dir: Some(PathBuf::from("/d")),
        listen: address(1),
        admin: address(2),
        http: address(3),
        udp: address(4),
        self_monitor: Some(false),
        clock: Some(ClockKind::FollowData),
        others: Vec::new(),
    };
    let general = Config::load(None, [], &overrides)
        .expect("loads")
        .config
        .general;
    let expected = GeneralConfig {
        data_dir: PathBuf::from("/d"),
        listen: address(1).expect("set"),
        admin: address(2).expect("set"),
        http: address(3),
        udp: address(4),
        self_monitor: false,
        clock: ClockKind::FollowData,
        ..GeneralConfig::default()
    };
    assert_eq!(general, expected);
}

#[test]
fn what_is_printed_is_read_back() {
    let mut config = Config::default();
    let read = |config: &Config| Config::from_toml(Path::new("p"), &config.print_config());
    assert_eq!(read(&config).as_ref(), Ok(&config));
    config.general.data_dir = PathBuf::from("C:\\data \"quoted\"\nand more");
    config.general.http = Some(([127, 0, 0, 1], 9).into());
    config.general.clock = ClockKind::FollowData;
    config.log.sync_policy = SyncPolicy::Os;
    config.log.backend = Backend::File;
    config.engine.time_past_min_unix_s = -5;
    config.meta.pool_size_max = 9;
    assert_eq!(read(&config).as_ref(), Ok(&config));
}

#[test]
fn every_option_is_explained_and_its_default_is_allowed() {
    let options = Config::default().options();
    let text = Config::default().print_config();
    for option in &options {
        assert!(option.doc.len() > 10, "{}", option.key);
        assert_eq!(option.value, option.default);
        assert_eq!(
            Config::default().get(&option.key),
            Some(option.default.clone())
        );
        let name = option.key.rsplit('.').next().expect("a name");
        assert!(text.contains(&format!("\n{name} = {}\n", option.default)));
        if let Some(minimum) = &option.minimum {
            let (minimum, default): (i64, i64) = (
                minimum.parse().expect("a number"),
                option.default.parse().expect("a number"),
            );
            assert!(minimum <= default, "{}", option.key);
        }
        let variable = (
            variable_of(&option.key),
            option.value.trim_matches('"').to_owned(),
        );
        let loaded = Config::load(None, [variable], &Overrides::default()).expect("loads");
        assert_eq!(loaded.config, Config::default(), "{}", option.key);
        assert_eq!(loaded.sources.len(), 1);
    }
    assert!(options.iter().any(|option| option.key == "log.sync_policy"));
    assert!(text.contains("# Default 8388608, at least 65536.\nsegment_size_bytes = 8388608\n"));
}

#[test]
fn an_unknown_key_names_the_near_one() {
    assert_eq!(
        message("\n[log]\nsync_polcy = 'group'\n"),
        "e.toml:3: unknown key log.sync_polcy; did you mean log.sync_policy?"
    );
    assert_eq!(
        message("liste = '127.0.0.1:7480'"),
        "e.toml:1: unknown key liste; did you mean listen?"
    );
    assert!(message("[log]\nsegment_size = 5").ends_with("did you mean log.segment_size_bytes?"));
    assert!(message("[engine]\nsync_policy = 'os'").ends_with("did you mean log.sync_policy?"));
    assert!(message("[query]\nzzzzzz = 5").contains("--print-config"));
    assert!(message("[nonsense]\nx = 5").contains("unknown key nonsense.x"));
    assert!(message("[log.deeper]\nx = 5").contains("unknown key log.deeper"));
    assert!(message("log = 5").contains("unknown key log;"));
}

#[test]
fn a_wrong_value_says_what_would_be_right() {
    assert_eq!(
        message("listen = 'somewhere'"),
        "e.toml:1: listen = \"somewhere\" is of the wrong kind; \
         use an address and a port, like \"127.0.0.1:7480\""
    );
    assert_eq!(
        message("[log]\nsync_policy = 'never'"),
        "e.toml:2: log.sync_policy = \"never\" is of the wrong kind; \
         use \"group\", \"always\", \"interval\" or \"os\""
    );
    assert_eq!(
        message("[log]\nsegment_size_bytes = 100"),
        "e.toml:2: log.segment_size_bytes = 100 is too small; use 65536 or more"
    );
    assert!(message("[log]\ninterval_ms = -1").contains("use a whole number"));
    assert!(message("self_monitor = 'yes'").contains("use true or false"));
    assert!(message("[engine]\nshards = 5000000000").contains("up to 4294967295"));
    assert!(message("listen = \n").starts_with("e.toml:1: "));
}

#[test]
fn what_contradicts_is_refused() {
    assert!(message("[log]\nsegment_size_bytes = 65537").contains("multiple of 4096"));
    assert!(message("[log]\nlog_size_bytes = 8388608").contains("use 33554432 or more"));
    let memory = message("[log]\nlog_size_bytes = 67108864\n[memory]\nlimit_mb = 80");
    assert_eq!(
        memory,
        "e.toml:4: memory.limit_mb = 80 leaves too little beside a log of 67108864 bytes, which counts as well; \
         use 88 or more, 0 for no limit, or a smaller log.log_size_bytes"
    );
    let pool = message("[meta]\npool_size_min = 5");
    assert!(
        pool.starts_with("e.toml:2: meta.pool_size_min = 5"),
        "{pool}"
    );
}

#[test]
fn the_environment_is_named_in_errors_and_strangers_are_only_reported() {
    let none = Overrides::default();
    let wrong = load("", &[("EDGETIME_LOG_INTERVAL_MS", "0")], &none).expect_err("is refused");
    assert_eq!(
        wrong.to_string(),
        "environment EDGETIME_LOG_INTERVAL_MS: log.interval_ms = 0 is too small; use 1 or more"
    );
    let strange = [
        ("EDGETIME_LISTN", "x"),
        ("EDGETIME_PORT_7480_TCP", "x"),
        ("EDGETIME_TOKEN", "x"),
        ("EDGETIME_DATA_DIR", "10"),
        ("EDGETIME_HTTP", ""),
    ];
    let loaded = load("http = '127.0.0.1:1'", &strange, &none).expect("loads");
    assert_eq!(loaded.config.general.data_dir, PathBuf::from("10"));
    assert_eq!(loaded.config.general.http, None);
    assert_eq!(loaded.warnings.len(), 2);
    assert!(loaded.warnings[0].ends_with("did you mean EDGETIME_LISTEN?"));
}

#[test]
fn a_file_that_is_named_has_to_be_there() {
    let none = Overrides::default();
    let error = Config::load(Some(Path::new("/nowhere/e.toml")), [], &none);
    let text = error.expect_err("is refused").to_string();
    assert!(
        text.starts_with("/nowhere/e.toml: cannot be read"),
        "{text}"
    );
    assert!(Config::load(None, [], &none).is_ok());
}

#[test]
fn only_loopback_without_tokens() {
    let mut config = Config::default();
    assert!(config.validate_listeners().is_ok());
    let refused = |config: &Config| {
        let error = config.validate_listeners().expect_err("is refused");
        error.to_string()
    };
    let outside = ([0, 0, 0, 0], 7480).into();
    config.general.listen = outside;
    let error = refused(&config);
    assert!(
        error.contains("listen = 0.0.0.0:7480") && error.contains("auth.required = true"),
        "{error}"
    );
    config.auth.required = true;
    assert!(config.validate_listeners().is_ok());
    // Nobody gives a token there.
    config.general.udp = Some(outside);
    let error = refused(&config);
    assert!(
        error.contains("udp = 0.0.0.0:7480") && error.contains("use 127.0.0.1:7480"),
        "{error}"
    );
    config.general.udp = None;
    config.general.admin = outside;
    assert!(refused(&config).contains("admin = 0.0.0.0:7480"));
    config.general.admin = "[::1]:7481".parse().expect("an address");
    assert!(config.validate_listeners().is_ok());
}

//! CSV text in, line protocol out.

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: ImportArgs,
}

fn args(line: &str) -> ImportArgs {
    let words = format!("import {line}");
    match Command::try_parse_from(words.split(' ')) {
        Ok(command) => command.args,
        Err(error) => panic!("{line}: {error}"),
    }
}

/// Lines of the files, and what was refused.
fn import(flags: &str, files: &[&str]) -> (String, Vec<String>, Places) {
    let folder = tempfile::tempdir().expect("a folder");
    let args = args(&format!("{flags} x.csv"));
    let mut import = Import {
        builder: args.line_builder().expect("good flags"),
        args: &args,
        inferred: Inferred::default(),
        places: Places::default(),
        rejects: Rejects::default(),
        progress: Progress::of_bytes(None),
        buffer: Vec::new(),
    };
    let mut lines = Vec::new();
    for (index, text) in files.iter().enumerate() {
        let path = folder.path().join(format!("{index}.csv"));
        std::fs::write(&path, text).expect("a file");
        let mut input = Input::open(&path).expect("a file");
        input.name = format!("{index}.csv");
        let mut sink = |bytes: &[u8]| {
            lines.extend_from_slice(bytes);
            Ok(())
        };
        import.file(input, &mut sink).expect("readable");
    }
    let rejects = if import.rejects.is_empty() {
        Vec::new()
    } else {
        import.rejects.lines("row")
    };
    (
        String::from_utf8(lines).expect("text"),
        rejects,
        import.places,
    )
}

const PLAIN: &str = "--measurement occ_temp --time-column ts_ms";

#[test]
fn decimals_pass_unchanged() {
    let csv = "ts_ms,value\n1600000000000,12.799999999999956\n1600000001000,251643.0\n1600000002000,-1E-05\n\
               1600000003000,+7\n";
    let (lines, rejects, _) = import(PLAIN, &[csv]);
    assert_eq!(
        lines,
        "occ_temp value=12.799999999999956 1600000000000000000\n\
         occ_temp value=251643.0 1600000001000000000\n\
         occ_temp value=-1E-05 1600000002000000000\n\
         occ_temp value=7 1600000003000000000\n"
    );
    assert!(rejects.is_empty());
}

#[test]
fn tags_types_and_escapes() {
    let flags = "--measurement my,m --time-column t --time-unit s --tag site=a=b --tag-column room \
                 --field temp=temperature --field n=count:integer --field on=state:boolean --field note=note:string";
    let csv = "t,room,temperature,count,state,note,unused\n\
               1,r 1,21.30,5,1,\"say \"\"hi\"\"\",x\n\
               2,,,,,,x\n\
               2020-09-13T12:26:40Z,r2,,7,F,,x\n";
    let (lines, rejects, _) = import(flags, &[csv]);
    assert_eq!(
        lines,
        "my\\,m,room=r\\ 1,site=a\\=b temp=21.30,n=5i,on=true,note=\"say \\\"hi\\\"\" 1000000000\n\
         my\\,m,room=r2,site=a\\=b n=7i,on=false 1600000000000000000\n"
    );
    assert_eq!(
        rejects,
        [
            "1 row rejected: 1 no_value",
            "0.csv:3: no_value: every field is empty"
        ]
    );
}

#[test]
fn a_bad_row_costs_itself_only() {
    let csv = "ts_ms,a,b\n1,1,x\n2,zwei,x\nnever,3,x\n4,4\n5,5,y\n6,,\"two\nlines\"\n7,7,z\n";
    let flags = format!("{PLAIN} --field a=a:float --field b=b");
    let (lines, rejects, places) = import(&flags, &[csv, "b,a,ts_ms\nq,8,8\n"]);
    assert_eq!(
        lines,
        "occ_temp a=1,b=\"x\" 1000000\nocc_temp a=5,b=\"y\" 5000000\nocc_temp b=\"two\nlines\" 6000000\n\
         occ_temp a=7,b=\"z\" 7000000\nocc_temp a=8,b=\"q\" 8000000\n"
    );
    assert_eq!(
        rejects[0],
        "3 rows rejected: 1 bad_syntax, 1 bad_timestamp, 1 bad_value"
    );
    assert_eq!(
        rejects[1],
        "0.csv:3: bad_value: column `a`: `zwei` is no float"
    );
    assert!(
        rejects[2].starts_with("0.csv:4: bad_timestamp: `never` is not a time"),
        "{rejects:?}"
    );
    assert_eq!(
        rejects[3],
        "0.csv:5: bad_syntax: 2 cells where the header has 3"
    );
    let found: Vec<String> = [1, 2, 3, 5, 6].map(|line| places.of(line)).into();
    assert_eq!(
        found,
        ["0.csv:2", "0.csv:6", "0.csv:7", "0.csv:9", "1.csv:2"]
    );
}

#[test]
fn what_remains_becomes_fields_of_inferred_types() {
    let csv = "\u{feff}ts_ms, n ,flag,word,none\n1,5,true,on,\n2,6,False,1,\n";
    let (lines, rejects, _) = import(PLAIN, &[csv]);
    assert_eq!(
        lines,
        "occ_temp n=5,flag=true,word=\"on\" 1000000\nocc_temp n=6,flag=false,word=\"1\" 2000000\n"
    );
    assert!(rejects.is_empty());
}

#[test]
fn wrong_flags_say_what_would_be_right() {
    for (flags, part) in [
        ("--field a", "NAME=COLUMN[:TYPE]"),
        ("--field a=b:binary", "use string"),
        ("--tag a", "NAME=VALUE"),
        ("--time-unit h", "possible values"),
        ("--db a/b", "letters, digits"),
        ("--addr nowhere", "HOST:PORT"),
    ] {
        let line = format!("import {PLAIN} {flags} x.csv");
        let error = Command::try_parse_from(line.split(' '))
            .err()
            .expect(flags)
            .to_string();
        assert!(error.contains(part), "{flags}: {error}");
    }
    let twice = args(&format!("{PLAIN} --tag a=1 --tag-column a x.csv"));
    assert!(
        matches!(twice.line_builder(), Err(CommandError::Usage(problem)) if problem.contains("twice"))
    );
    let header = ["ts_ms".to_owned()];
    let missing = Columns::find(&header, "time", &[], &[]).expect_err("missing");
    assert_eq!(missing, "no column `time`; the columns are ts_ms");
    let nothing = Columns::find(&header, "ts_ms", &[], &[]).expect_err("nothing");
    assert!(nothing.contains("no column is left"));
}

//! Where the value of a flag comes from when it is not on the command line: the environment, the profile's
//! settings, the configuration file.
//!
//! Both files hold flags under their long names; those of a command stand in a table of its name:
//!
//! ```toml
//! profile = "studio"
//! mode = "customer"
//!
//! [proxy]
//! listen = "127.0.0.1:9000"
//! ```

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, bail};
use clap::builder::FalseyValueParser;
use clap::parser::ValueSource;
use clap::{ArgAction, CommandFactory, FromArgMatches};
use toml::{Table, Value};

use crate::args::Cli;
use crate::profile::{Folders, Profile};

/// Why the command can't begin.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Clap has said all, or was asked for help.
    Usage(clap::Error),
    Configuration(anyhow::Error),
}

impl From<clap::Error> for Refused {
    fn from(error: clap::Error) -> Self {
        Refused::Usage(error)
    }
}

impl From<anyhow::Error> for Refused {
    fn from(error: anyhow::Error) -> Self {
        Refused::Configuration(error)
    }
}

/// Reads the command line. The files are found by its `--config` and `--profile`, so it is read again with
/// what they say.
pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Cli, Refused> {
    let args: Vec<_> = args.collect();
    let bare = command();
    let named = bare.clone().try_get_matches_from(&args)?;
    let named = Cli::from_arg_matches(&named)?;
    if let crate::args::Command::Completions { .. } | crate::args::Command::Man { .. } =
        named.command
    {
        return Ok(named);
    }
    let folders = Folders::find()?;
    let (path, is_named) = match named.config {
        Some(path) => (path, true),
        None => (folders.config.join("config.toml"), false),
    };
    let file = read(&path, is_named)?;
    let with_file = with_defaults(bare, &file).context(in_file(&path))?;
    let matches = with_file.clone().try_get_matches_from(&args)?;
    let profile = Profile::new(&Cli::from_arg_matches(&matches)?.account.profile, folders)?;
    let path = profile.settings_path();
    let settings = read(&path, false)?;
    let whole = with_defaults(with_file, &settings).context(in_file(&path))?;
    let matches = whole.try_get_matches_from(&args)?;
    check_store(&matches)?;
    Ok(Cli::from_arg_matches(&matches)?)
}

/// The command line with a variable of the environment for each flag.
pub(crate) fn command() -> clap::Command {
    with_environment(Cli::command(), "TEAMUP_AUTH").mut_subcommands(|subcommand| {
        let prefix = format!("TEAMUP_AUTH_{}", subcommand.get_name().to_uppercase());
        with_environment(subcommand, &prefix)
    })
}

fn with_environment(command: clap::Command, prefix: &str) -> clap::Command {
    command.mut_args(|arg| {
        let Some(long) = arg.get_long() else { return arg };
        let name = format!("{prefix}_{}", long.to_uppercase().replace('-', "_"));
        let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
        // Help of its own would need a line for each of the variables, which all follow one rule.
        let arg = arg.env(name).hide_env(true);
        // As programs are used to: anything but an empty text, 0, no, off and false.
        if is_switch { arg.value_parser(FalseyValueParser::new()) } else { arg }
    })
}

fn read(path: &Path, must_exist: bool) -> anyhow::Result<Table> {
    match std::fs::read_to_string(path) {
        Ok(text) => text.parse().context(in_file(path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => {
            Ok(Table::new())
        }
        Err(error) => Err(error).context(in_file(path)),
    }
}

fn in_file(path: &Path) -> String {
    format!("in the configuration file {}", path.display())
}

/// The command line with other defaults.
fn with_defaults(mut command: clap::Command, file: &Table) -> anyhow::Result<clap::Command> {
    let globals = file.iter().filter(|(_, value)| !value.is_table());
    for (key, value) in globals {
        command = with_default(command, key, value)?;
    }
    for (name, table) in file.iter().filter_map(|(name, value)| Some((name, value.as_table()?))) {
        if command.find_subcommand(name).is_none() {
            bail!("there is no command `{name}`, so the table [{name}] means nothing");
        }
        let mut outcome = Ok(());
        command = command.mut_subcommand(name, |mut subcommand| {
            for (key, value) in table {
                match with_default(subcommand.clone(), key, value) {
                    Ok(with) => subcommand = with,
                    Err(error) => outcome = Err(error.context(format!("in [{name}]"))),
                }
            }
            subcommand
        });
        outcome?;
    }
    Ok(command)
}

fn with_default(command: clap::Command, key: &str, value: &Value) -> anyhow::Result<clap::Command> {
    let found = command.get_arguments().find(|arg| arg.get_long() == Some(key));
    let Some(id) = found.map(|arg| arg.get_id().clone()).filter(|id| id != "config") else {
        bail!("there is no flag --{key}, so `{key}` means nothing here");
    };
    let texts = match value {
        Value::Array(items) => items.iter().map(text).collect::<anyhow::Result<Vec<_>>>()?,
        one => vec![text(one)?],
    };
    Ok(command.mut_arg(id, |arg| arg.default_values(texts)))
}

fn text(value: &Value) -> anyhow::Result<String> {
    Ok(match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(is_set) => is_set.to_string(),
        other => bail!("a {} can't be the value of a flag", other.type_str()),
    })
}

/// Every user of the machine can read a command line.
fn check_store(matches: &clap::ArgMatches) -> anyhow::Result<()> {
    let of = matches.subcommand().map_or(matches, |(_, matches)| matches);
    let is_argument = of.value_source("store") == Some(ValueSource::CommandLine);
    let has_password = of.get_one::<String>("store").is_some_and(|url| {
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
    });
    if is_argument && has_password {
        bail!(
            "the URL of --store holds a password, and every user of this machine can read a command \
             line; write it into the configuration file or into TEAMUP_AUTH_STORE"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(file: &str, args: &[&str]) -> anyhow::Result<Cli> {
        let command = with_defaults(command(), &file.parse()?)?;
        let matches = command.try_get_matches_from(["teamup-auth"].iter().chain(args))?;
        check_store(&matches)?;
        Ok(Cli::from_arg_matches(&matches)?)
    }

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn a_file_gives_defaults_that_flags_replace() {
        let file = "mode = 'customer'\nprovider-id = 7\n[token]\njson = true";
        let cli = parsed(file, &["token"]).unwrap();
        assert_eq!(cli.account.mode, crate::args::Mode::Customer);
        assert_eq!(cli.account.provider_id, Some(7));
        assert!(matches!(cli.command, crate::args::Command::Token(token) if token.json));
        let cli = parsed(file, &["token", "--mode", "provider"]).unwrap();
        assert_eq!(cli.account.mode, crate::args::Mode::Provider);
    }

    #[test]
    fn a_file_with_an_unknown_name_is_refused() {
        for file in
            ["moed = 'customer'", "[tokn]\njson = true", "[token]\njsn = true", "config = 'x'"]
        {
            assert!(parsed(file, &["token"]).is_err(), "{file}");
        }
    }

    /// One flag: the command that it belongs to, and a value that it takes.
    struct Flag {
        command: Option<String>,
        arg: clap::Arg,
        value: String,
    }

    impl Flag {
        fn all() -> Vec<Self> {
            let command = command();
            let all = std::iter::once(None).chain(command.get_subcommands().map(Some));
            let flags = all.flat_map(|subcommand| {
                let of = subcommand.unwrap_or(&command);
                let args = of.get_arguments().filter(|arg| arg.get_long().is_some());
                args.map(move |arg| (subcommand.map(|of| of.get_name().to_owned()), arg.clone()))
            });
            flags
                .map(|(command, arg)| Flag { command, value: Self::value_for(&arg), arg })
                .collect()
        }

        fn value_for(arg: &clap::Arg) -> String {
            let first = arg.get_possible_values().into_iter().next();
            match (arg.get_action(), first) {
                (ArgAction::SetTrue, _) => "true".to_owned(),
                (_, Some(first)) => first.get_name().to_owned(),
                _ if matches!(arg.get_long(), Some("listen" | "admin")) => "127.0.0.1:9".to_owned(),
                (_, _) if arg.get_long() == Some("threads") => "10".to_owned(),
                // A number, a path and a text.
                _ => "10000".to_owned(),
            }
        }

        fn long(&self) -> &str {
            self.arg.get_long().unwrap_or_default()
        }

        /// What the flag is and where it comes from, in a command line without it.
        fn found(&self, command: clap::Command) -> (Option<ValueSource>, Option<String>) {
            let name = self.command.as_deref().unwrap_or("token");
            let mut line = vec!["teamup-auth", name];
            if self.long() == "password" {
                line.extend(["--username", "anna"]);
            }
            let matches = command.try_get_matches_from(line);
            let matches = matches.unwrap_or_else(|error| panic!("--{}: {error}", self.long()));
            let (_, matches) = matches.subcommand().expect("a command");
            let id = self.arg.get_id().as_str();
            let mut raw = matches.get_raw(id).into_iter().flatten();
            let value = raw.next().map(|value| value.to_string_lossy().into_owned());
            (matches.value_source(id), value)
        }
    }

    #[test]
    fn every_flag_can_stand_in_the_file() {
        let mut count = 0;
        for flag in Flag::all() {
            let table =
                flag.command.as_ref().map_or_else(String::new, |name| format!("[{name}]\n"));
            let file: Table = format!("{table}{} = '{}'", flag.long(), flag.value).parse().unwrap();
            let with_file = with_defaults(command(), &file);
            if flag.long() == "config" {
                assert!(with_file.is_err(), "a file does not name another");
                continue;
            }
            let found = flag.found(with_file.unwrap());
            assert_eq!(found, (Some(ValueSource::DefaultValue), Some(flag.value)), "{file}");
            count += 1;
        }
        assert!(count > 40, "{count}");
    }

    #[test]
    fn every_flag_can_stand_in_the_environment() {
        const NAME: &str = "config::tests::every_flag_can_stand_in_the_environment";
        // The test as a process of its own: no other way sets a variable safely.
        const NUMBER: &str = "NUMBER_OF_THE_FLAG";
        if let Ok(number) = std::env::var(NUMBER) {
            let flag = Flag::all().swap_remove(number.parse().unwrap());
            let found = flag.found(command());
            assert_eq!(found, (Some(ValueSource::EnvVariable), Some(flag.value)));
            return;
        }
        for (number, flag) in Flag::all().into_iter().enumerate() {
            let prefix = flag.command.as_ref().map_or_else(String::new, |name| format!("{name}_"));
            let variable = format!("TEAMUP_AUTH_{prefix}{}", flag.long().replace('-', "_"));
            let mut test = std::process::Command::new(std::env::current_exe().unwrap());
            test.args([NAME, "--exact", "--nocapture"]).env_clear();
            test.env(variable.to_uppercase(), &flag.value).env(NUMBER, number.to_string());
            let done = test.output().unwrap();
            let said = String::from_utf8_lossy(&done.stdout);
            let passed = done.status.success() && said.contains("1 passed");
            assert!(passed, "{variable}: {said}{}", String::from_utf8_lossy(&done.stderr));
        }
    }

    #[test]
    fn every_flag_has_a_variable_of_its_own() {
        let command = command();
        let mut seen = std::collections::HashSet::new();
        let all = std::iter::once(&command).chain(command.get_subcommands());
        for arg in all.flat_map(|command| command.get_arguments()) {
            if let Some(long) = arg.get_long() {
                let variable = arg.get_env().unwrap_or_else(|| panic!("--{long} has none"));
                assert!(seen.insert(variable.to_owned()), "{variable:?} is that of two flags");
            }
        }
        assert!(seen.len() > 40, "{}", seen.len());
    }

    #[test]
    fn p5_a_password_on_the_command_line_is_refused() {
        let args = |url| ["token", "--store", url];
        assert!(parsed("", &args("redis://:secret@host/")).is_err());
        assert!(parsed("", &args("postgres://user:secret@host/database")).is_err());
        assert!(parsed("", &args("postgres://user@host/database")).is_ok());
        assert!(parsed("store = 'redis://:secret@host/'", &["token"]).is_ok());
    }
}

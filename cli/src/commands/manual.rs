//! Completions of shells, and manual pages.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap_complete::Shell;

use crate::config;

pub(crate) fn completions(shell: Shell) -> anyhow::Result<ExitCode> {
    io::stdout().write_all(completions_for(shell).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn completions_for(shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut config::command(), "teamup-auth", &mut text);
    let text = String::from_utf8_lossy(&text);
    // Clap's script for bash writes a program's name with a hyphen in two ways, and then finds no flag of
    // a command (clap issue 6421).
    text.replace("teamup__subcmd__auth", "teamup__auth")
}

pub(crate) fn man(folder: Option<&Path>) -> anyhow::Result<ExitCode> {
    let command = config::command();
    match folder {
        Some(folder) => clap_mangen::generate_to(command, folder)?,
        None => {
            let mut text = Vec::new();
            clap_mangen::Man::new(command).render(&mut text)?;
            io::stdout().write_all(&text)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    fn flags(command: &clap::Command) -> Vec<String> {
        command.get_arguments().filter_map(|arg| arg.get_long()).map(str::to_owned).collect()
    }

    #[test]
    fn every_shell_completes_every_command_and_flag() {
        let command = config::command();
        for shell in Shell::value_variants() {
            let text = completions_for(*shell);
            for subcommand in command.get_subcommands() {
                assert!(text.contains(subcommand.get_name()), "{shell}: {subcommand}");
                for flag in flags(subcommand) {
                    assert!(text.contains(&flag), "{shell}: {subcommand} --{flag}");
                }
            }
        }
    }

    #[test]
    fn every_command_has_a_page_with_every_flag_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        man(Some(folder.path())).unwrap();
        let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let command = config::command();
        let first = page("teamup-auth.1");
        for flag in flags(&command) {
            assert!(first.contains(&format!("\\-\\-{}", flag.replace('-', "\\-"))), "--{flag}");
        }
        for subcommand in command.get_subcommands() {
            assert!(first.contains(&subcommand.get_name().replace('-', "\\-")), "{subcommand}");
            let text = page(&format!("teamup-auth-{subcommand}.1"));
            for flag in flags(subcommand) {
                let written = format!("\\-\\-{}", flag.replace('-', "\\-"));
                assert!(text.contains(&written), "{subcommand} --{flag}");
            }
        }
    }
}

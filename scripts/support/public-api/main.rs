//! `public-api-lines FILE`: prints the public API that rustdoc has written to FILE as JSON, one item a line.
//! The exit status is 2 if the file is of a format that this program does not read.

use std::{path::PathBuf, process::ExitCode};

/// Marker traits of the compiler that no program can name in stable Rust. They come and go with its releases.
const UNSTABLE: [&str; 3] = [
    "core::marker::Freeze for ",
    "core::marker::StructuralPartialEq for ",
    "core::marker::UnsafeUnpin for ",
];

fn main() -> ExitCode {
    let Some(file) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: public-api-lines FILE");
        return ExitCode::FAILURE;
    };
    // What every type has, such as `Into` from `From`, says nothing about this one.
    let api = match public_api::Builder::from_rustdoc_json(&file).omit_blanket_impls(true).build() {
        Ok(api) => api,
        Err(error) => {
            eprintln!("{}: {error}", file.display());
            let is_unknown = matches!(error, public_api::Error::SerdeJsonError(_));
            return if is_unknown { ExitCode::from(2) } else { ExitCode::FAILURE };
        }
    };
    for item in api.items() {
        let line = item.to_string();
        if !UNSTABLE.iter().any(|name| line.contains(name)) {
            println!("{line}");
        }
    }
    ExitCode::SUCCESS
}

//! `WWW-Authenticate`: no panic on anything, and of a list that is well formed the right verdict.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use tower_teamup_auth::fuzzing::challenges;

#[derive(Arbitrary, Debug)]
struct Parameter {
    name: Name,
    value: String,
    quoted: bool,
    /// Blanks around the equals sign.
    wide: bool,
}

#[derive(Arbitrary, Debug)]
enum Name {
    Error,
    ErrorInCapitals,
    ErrorDescription,
    Realm,
    Scope,
}

#[derive(Arbitrary, Debug)]
struct Challenge {
    scheme: Scheme,
    parameters: Vec<Parameter>,
}

#[derive(Arbitrary, Debug)]
enum Scheme {
    Bearer,
    Basic,
    Token,
}

/// What is written, and whether it says that the scope is too small.
fn written(challenges: &[Challenge]) -> (String, bool) {
    let (mut text, mut says_so) = (Vec::new(), false);
    for challenge in challenges {
        let mut parameters = Vec::new();
        for Parameter { name, value, quoted, wide } in &challenge.parameters {
            let name = match name {
                Name::Error => "error",
                Name::ErrorInCapitals => "ERROR",
                Name::ErrorDescription => "error_description",
                Name::Realm => "realm",
                Name::Scope => "scope",
            };
            // Now and then the very value that counts.
            let value = if value.len() % 3 == 0 { "insufficient_scope" } else { value };
            let value: String = value.chars().filter(|c| (' '..='~').contains(c)).collect();
            let token: String = value.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            says_so |= name.eq_ignore_ascii_case("error")
                && *(if *quoted { &value } else { &token }) == "insufficient_scope";
            let equals = if *wide { " = " } else { "=" };
            parameters.push(if *quoted {
                let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
                format!("{name}{equals}\"{escaped}\"")
            } else {
                format!("{name}{equals}{token}")
            });
        }
        let scheme = match challenge.scheme {
            Scheme::Bearer => "Bearer",
            Scheme::Basic => "Basic",
            Scheme::Token => "Token",
        };
        text.push(format!("{scheme} {}", parameters.join(", ")));
    }
    (text.join(", "), says_so)
}

fuzz_target!(|data: &[u8]| {
    challenges(data);
    if let Ok(list) = Vec::<Challenge>::arbitrary(&mut Unstructured::new(data)) {
        let (text, says_so) = written(&list);
        assert_eq!(challenges(text.as_bytes()), says_so, "{text}");
    }
});

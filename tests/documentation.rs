//! The page of guarantees names tests; a test that is renamed or gone must not be named any more.

use std::fs;
use std::path::Path;

fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// Whether this is the name of a test of a promise: `p4_a_redirect_…`.
fn is_of_a_promise(name: &str) -> bool {
    let digits = name.strip_prefix('p').and_then(|rest| rest.split_once('_'));
    digits.is_some_and(|(number, _)| {
        number.parse::<u8>().is_ok_and(|number| (1..=12).contains(&number))
    })
}

#[test]
fn every_test_that_the_guarantees_name_exists_and_every_promise_names_some() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut code = String::new();
    sources(&root.join("src"), &mut code);
    sources(&root.join("tests"), &mut code);
    let page = fs::read_to_string(root.join("src/docs/guarantees.rs")).unwrap();
    let names: Vec<_> =
        page.split('`').filter(|word| is_of_a_promise(word) && !word.ends_with('_')).collect();
    assert!(names.len() > 30, "{names:?}");
    for name in &names {
        assert!(code.contains(&format!("fn {name}(")), "`{name}` is named and does not exist");
    }
    for promise in 1..=12 {
        let heading = format!("//! # P{promise}: ");
        let (_, section) = page.split_once(&heading).unwrap_or_else(|| panic!("no `{heading}`"));
        let section = section.split("//! # ").next().unwrap();
        for said in [&*format!("`p{promise}_"), "//! - Bound: ", "//! - Not shown: "] {
            assert!(section.contains(said), "{said} is missing: {section}");
        }
    }
}

/// A run that a page of proofs names must be there.
#[test]
fn every_script_that_the_pages_of_proofs_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = 0;
    for page in ["guarantees", "proof", "fleet"] {
        let page = fs::read_to_string(root.join(format!("src/docs/{page}.rs"))).unwrap();
        for word in page.split(['`', ' ']).filter(|word| word.starts_with("scripts/")) {
            assert!(root.join(word).is_file(), "{word} is named and does not exist");
            found += 1;
        }
    }
    assert!(found > 5, "{found}");
}

/// A fault that was put in is noticed by tests that exist, and each rule of the list stands there once.
#[test]
fn every_fault_of_the_list_says_who_noticed_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("src/docs/proof.rs")).unwrap();
    let (_, list) = page.split_once("//! | rule that was broken | noticed by |").unwrap();
    let rows: Vec<_> = list.lines().skip(2).take_while(|line| line.starts_with("//! | ")).collect();
    let mut rules = std::collections::BTreeSet::new();
    for row in &rows {
        let cells: Vec<_> = row.trim_start_matches("//! |").split('|').map(str::trim).collect();
        let [rule, noticed, ""] = cells[..] else { panic!("{row}") };
        assert!(rules.insert(rule), "{rule} stands there twice");
        let by = ["test", "exploration", "three processes", "model", "simulation", "nobody: "];
        assert!(by.iter().any(|by| noticed.contains(by)), "{row}");
    }
    assert!(rules.len() > 60, "{}", rules.len());
}

/// A test that has no entry is never built, and nobody would miss it.
#[test]
fn every_test_and_example_has_an_entry_in_its_manifest() {
    for member in ["tests", "examples"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(member);
        let mut manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        // The quick start belongs to the crate.
        manifest += &fs::read_to_string(folder.join("../Cargo.toml")).unwrap();
        let mut found = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.join("Cargo.toml").exists() {
                continue; // a member of its own
            }
            let target = if path.join("main.rs").exists() { path.join("main.rs") } else { path };
            if target.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let within = target.strip_prefix(&folder).unwrap().display().to_string();
            found += 1;
            assert!(
                manifest.contains(&format!("path = \"{within}\""))
                    || manifest.contains(&format!("path = \"{member}/{within}\"")),
                "{member}/{within} has no entry in {member}/Cargo.toml"
            );
        }
        assert!(found > 5, "{found} in {member}");
    }
}

/// Sharing the client of the API breaks most programs: its pool, its limits and its windows are then full when
/// the refresh request needs them.
#[test]
fn no_example_hands_the_clients_own_client_in_for_refresh_requests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut text = fs::read_to_string(root.join("README.md")).unwrap();
    sources(&root.join("examples"), &mut text);
    sources(&root.join("src/docs"), &mut text);
    // Of the code, what its documentation shows.
    let mut code = String::new();
    sources(&root.join("src"), &mut code);
    text.extend(code.lines().filter(|line| line.trim_start().starts_with("///")));
    let shown: Vec<_> = text.split(".refresh_client(").skip(1).collect();
    assert!(shown.len() > 10, "{}", shown.len());
    for shown in shown {
        let given = shown.split('\n').next().unwrap();
        let given = given.split(')').next().unwrap();
        assert!(!given.ends_with(".clone("), "{given}) is the API's client");
    }
}

/// The examples of the page of stacks are compiled, and run, in a test of the same words.
#[test]
fn every_example_of_the_page_of_stacks_is_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("src/docs/ordering.rs")).unwrap();
    let tests = fs::read_to_string(root.join("tests/stacks/ordering.rs")).unwrap();
    let is_stack = |row: &&str| row.starts_with("//! | `");
    let rows: Vec<_> = page.lines().filter(is_stack).collect();
    assert!(rows.len() > 15, "{rows:?}");
    for row in rows {
        let example = row.split('|').nth(2).unwrap().trim().trim_matches('`');
        assert!(tests.contains(example), "{example}");
    }
}

//! What the compiler says about the commonest mistakes, word for word: whoever makes one should read
//! there what to do.
//!
//! The texts are of one compiler version, and another one words them otherwise. After a change that is
//! meant, write them anew and read the difference:
//!
//! ```sh
//! TRYBUILD=overwrite cargo test -p messages
//! ```

#[rustversion::stable(1.95)]
#[test]
fn the_compiler_names_the_remedy_for_each_of_the_commonest_mistakes() {
    trybuild::TestCases::new().compile_fail("cases/*.rs");
}

/// Whatever the version: the crate's own words are in the texts.
#[test]
fn the_texts_hold_the_words_of_this_crate() {
    for (case, words) in [
        (
            "body_that_can_not_be_repeated_behind_a_bound",
            "put `SendOnceLayer` outside `AuthLayer` to have every body sent once",
        ),
        ("refresh_client_without_clone", "can't carry refresh requests"),
    ] {
        let path = format!("{}/cases/{case}.stderr", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(words), "{case}: {text}");
    }
}

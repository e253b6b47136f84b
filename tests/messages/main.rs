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

/// Whoever searches the README for what the compiler said finds it.
#[test]
fn the_readme_has_the_words_of_the_compiler() {
    let one_line = |path: String| {
        let text = std::fs::read_to_string(path).unwrap();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let folder = env!("CARGO_MANIFEST_DIR");
    let readme = one_line(format!("{folder}/../../README.md"));
    for (case, words) in [
        ("body_that_can_not_be_repeated", "the method `oneshot` exists for struct `Auth<"),
        ("body_that_can_not_be_repeated", "but its trait bounds were not satisfied"),
        ("body_that_can_not_be_repeated_behind_a_bound", "nothing says whether the body `"),
        ("body_that_can_not_be_repeated_behind_a_bound", "can be sent again after a 401"),
        ("string_for_full", "expected `Request<Full<Bytes>>`, found `Request<String>`"),
        ("hyper_client_without_a_type", "type annotations needed"),
        ("service_without_clone", "the trait bound `Client: Clone` is not satisfied"),
        ("rate_limit_without_buffer", "tower::limit::RateLimit<_>: Clone"),
        ("shared_reference_instead_of_a_clone", "cannot borrow `self.client` as mutable"),
        (
            "anyhow_with_boxed_errors",
            "couldn't convert the error: `dyn std::error::Error + Send + Sync: Sized` is not satisfied",
        ),
    ] {
        let message = one_line(format!("{folder}/cases/{case}.stderr"));
        assert!(message.contains(words), "{case} says no more: {words}");
        assert!(readme.contains(words), "the README lacks: {words}");
    }
}

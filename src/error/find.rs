//! Finds this crate's error in whatever a call ended with.

use std::error::Error as StdError;

use super::{BoxError, Error};

/// Where [`Error::find`] looks.
pub trait MayHoldError: sealed::Sealed {
    #[doc(hidden)]
    fn find_error(&self) -> Option<&Error>;
}

mod sealed {
    #[allow(unnameable_types, reason = "so that nobody else implements the trait above it")]
    pub trait Sealed {}
}

/// Follows the sources of an error, and what hides some of them.
fn find_in<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // Both show the source of what they hold, and not what they hold.
        if let Some(held) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref)
        {
            return find_in(held);
        }
        #[cfg(feature = "reqwest-middleware")]
        if let Some(reqwest_middleware::Error::Middleware(held)) = error.downcast_ref() {
            return held.chain().find_map(find_in);
        }
        next = error.source();
    }
    None
}

impl sealed::Sealed for dyn StdError {}
impl MayHoldError for dyn StdError {
    fn find_error(&self) -> Option<&Error> {
        find_in(self)
    }
}

impl sealed::Sealed for dyn StdError + Send {}
impl MayHoldError for dyn StdError + Send {
    fn find_error(&self) -> Option<&Error> {
        find_in(self)
    }
}

impl sealed::Sealed for dyn StdError + Send + Sync {}
impl MayHoldError for dyn StdError + Send + Sync {
    fn find_error(&self) -> Option<&Error> {
        find_in(self)
    }
}

impl sealed::Sealed for BoxError {}
impl MayHoldError for BoxError {
    fn find_error(&self) -> Option<&Error> {
        find_in(&**self)
    }
}

impl sealed::Sealed for http::Extensions {}
impl MayHoldError for http::Extensions {
    fn find_error(&self) -> Option<&Error> {
        self.get()
    }
}

impl<B> sealed::Sealed for http::Response<B> {}
impl<B> MayHoldError for http::Response<B> {
    fn find_error(&self) -> Option<&Error> {
        self.extensions().get()
    }
}

#[cfg(feature = "reqwest")]
impl sealed::Sealed for reqwest::Response {}
#[cfg(feature = "reqwest")]
impl MayHoldError for reqwest::Response {
    fn find_error(&self) -> Option<&Error> {
        self.extensions().get()
    }
}

#[cfg(feature = "reqwest-middleware")]
impl sealed::Sealed for reqwest_middleware::Error {}
#[cfg(feature = "reqwest-middleware")]
impl MayHoldError for reqwest_middleware::Error {
    fn find_error(&self) -> Option<&Error> {
        find_in(self)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Wrapped(BoxError);

    impl fmt::Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("wrapped")
        }
    }

    impl StdError for Wrapped {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&*self.0)
        }
    }

    #[test]
    fn an_error_is_found_wherever_it_is() {
        let own = Error::login_changed();
        let is_found = |place: &BoxError| {
            Error::find(place).is_some_and(Error::is_login_changed)
                && Error::find(&**place).is_some_and(Error::is_login_changed)
        };
        let wrapped = || -> BoxError { Box::new(Wrapped(own.clone().into())) };
        assert!(is_found(&own.clone().into()));
        assert!(is_found(&wrapped()));
        assert!(is_found(&std::io::Error::other(own.clone()).into()));
        assert!(is_found(&std::io::Error::other(wrapped()).into()));
        assert!(!is_found(&"another".into()));
        assert!(!is_found(&std::io::Error::from(std::io::ErrorKind::Other).into()));

        let mut response = http::Response::new(());
        assert!(Error::find(&response).is_none());
        response.extensions_mut().insert(own.clone());
        assert!(Error::find(&response).is_some_and(Error::is_login_changed));
        assert!(Error::find(response.extensions()).is_some_and(Error::is_login_changed));
    }

    #[cfg(feature = "reqwest-middleware")]
    #[test]
    fn an_error_is_found_below_a_middleware() {
        let own = Error::login_changed();
        for error in [own.clone().into(), Box::new(Wrapped(own.clone().into())) as BoxError] {
            let error = reqwest_middleware::Error::middleware(Wrapped(error));
            assert!(Error::find(&error).is_some_and(Error::is_login_changed));
            let outer: BoxError = Box::new(Wrapped(Box::new(error)));
            assert!(Error::find(&outer).is_some_and(Error::is_login_changed));
        }
        let bare = reqwest_middleware::Error::middleware(own.clone());
        assert!(Error::find(&bare).is_some_and(Error::is_login_changed));
    }
}

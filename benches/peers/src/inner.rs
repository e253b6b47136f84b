//! The service below the candidates.

#[cfg(not(test))]
pub(crate) use crate::workloads::Bare as Inner;
#[cfg(test)]
pub(crate) use witness::Witness as Inner;

/// Takes the place of the bare service in the tests, which ask it what arrived.
#[cfg(test)]
pub(crate) mod witness {
    use std::cell::RefCell;
    use std::convert::Infallible;
    use std::future::Ready;
    use std::task::{Context, Poll};

    use http::{HeaderMap, Request};
    use tower_service::Service;

    use crate::workloads::Bare;

    thread_local! {
        static ARRIVED: RefCell<Option<HeaderMap>> = const { RefCell::new(None) };
    }

    pub(crate) fn arrived() -> Option<HeaderMap> {
        ARRIVED.take()
    }

    pub(crate) fn note(headers: HeaderMap) {
        ARRIVED.set(Some(headers));
    }

    #[derive(Clone, Debug)]
    pub(crate) struct Witness;

    impl<B> Service<Request<B>> for Witness {
        type Response = <Bare as Service<Request<B>>>::Response;
        type Error = Infallible;
        type Future = Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Service::<Request<B>>::poll_ready(&mut Bare, cx)
        }

        fn call(&mut self, request: Request<B>) -> Self::Future {
            note(request.headers().clone());
            Bare.call(request)
        }
    }
}

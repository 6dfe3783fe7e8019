//! A listener that belongs to a service.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use factum::{
    Service,
    runtime::{LoopState, Status},
    service::{LoopEnd, Stage, StartLoop},
};

use super::Bound;
use crate::{ReadSurface, WriteSurface, read_surface, write_surface};

impl Bound {
    /// Serves a service's commands, with the usual limits, and everybody anonymous. See [`Bound::serve_for`], which
    /// takes a [`WriteSurface`] of other options, and routes of your own.
    ///
    /// # Panics
    /// The service handles no command.
    pub fn serve_commands(self, service: &mut Service) {
        let surface = write_surface(WriteSurface::of(service));
        self.serve_for(service, surface);
    }

    /// Serves a service's queries, with the usual limits, and everybody anonymous. See [`Bound::serve_for`], which
    /// takes a [`ReadSurface`] of other options, and routes of your own.
    ///
    /// # Panics
    /// The service answers no query.
    pub fn serve_queries(self, service: &mut Service) {
        let surface = read_surface(ReadSurface::of(service));
        self.serve_for(service, surface);
    }

    /// Serves for a service, whose supervisor owns the listener from now on: when the service stops, the listener
    /// stops first, and what is under way ends. Without its listener the service is nothing: a failure here ends it.
    pub fn serve_for(self, service: &mut Service, router: Router) {
        let status = Status::new(&format!("surface {}", self.local_addr()));
        let shown = status.clone();
        let listener = Mutex::new(Some(self));
        let start: StartLoop = Arc::new(move |stop| {
            let bound = listener.lock().unwrap_or_else(PoisonError::into_inner).take();
            let (router, shown) = (router.clone(), shown.clone());
            Box::pin(async move {
                let Some(bound) = bound else { return LoopEnd::Fatal("its listener is gone".to_owned()) };
                shown.update(|report| report.state = LoopState::Live);
                bound.serve(router, stop).await;
                LoopEnd::Stopped
            })
        });
        service.own(Stage::Surfaces, status, start);
    }
}

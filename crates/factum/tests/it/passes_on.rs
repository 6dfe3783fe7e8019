//! For stores and buses of tests that are another one but for a call or two: the calls that they pass on as they are.

/// `read_store_passes_on!([inner] claim read);` in an `impl ReadStore`: `self.inner` answers these calls.
macro_rules! read_store_passes_on {
    ($inner:tt $($call:ident)+) => { $(read_store_passes_on!(@ $call $inner);)+ };
    (@ claim $inner:tt) => {
        passes_on!($inner claim(projection: factum::ProjectionKey) -> factum::read::Epoch, factum::read::ReadError);
    };
    (@ checkpoints $inner:tt) => {
        passes_on!($inner checkpoints(projection: factum::ProjectionKey)
            -> Vec<(factum::read::Lane, factum::read::Checkpoint)>, factum::read::ReadError);
    };
    (@ write $inner:tt) => {
        passes_on!($inner write(
            projection: factum::ProjectionKey,
            epoch: factum::read::Epoch,
            moves: &[factum::read::CheckpointMove],
            work: &mut dyn FnMut(&mut dyn factum::read::ReadTransaction) -> Result<(), factum::read::ReadError>
        ) -> (), factum::read::ReadError);
    };
    (@ read $inner:tt) => {
        passes_on!($inner read(
            work: &mut dyn FnMut(&mut dyn factum::read::ReadSnapshot) -> Result<(), factum::read::ReadError>
        ) -> (), factum::read::ReadError);
    };
}

/// The same in an `impl Generations`.
macro_rules! generations_pass_on {
    ($inner:tt $($call:ident)+) => { $(generations_pass_on!(@ $call $inner);)+ };
    (@ models $inner:tt) => {
        passes_on!($inner models() -> Vec<factum::read::StoredModel>, factum::read::ReadError);
    };
    (@ begin $inner:tt) => {
        passes_on!($inner begin(projection: factum::ProjectionKey, role: factum::read::Role)
            -> factum::read::Generation, factum::read::ReadError);
    };
    (@ set_role $inner:tt) => {
        passes_on!($inner set_role(
            projection: factum::ProjectionKey,
            generation: factum::read::Generation,
            role: factum::read::Role
        ) -> (), factum::read::ReadError);
    };
    (@ switch $inner:tt) => {
        passes_on!($inner switch(
            projection: factum::ProjectionKey,
            from: factum::read::Claimed,
            to: factum::read::Claimed
        ) -> (), factum::read::ReadError);
    };
    (@ discard $inner:tt) => {
        passes_on!($inner discard(model: &factum::read::StoredModel) -> (), factum::read::ReadError);
    };
    (@ inspect $inner:tt) => {
        passes_on!($inner inspect(
            work: &mut dyn FnMut(&mut dyn factum::read::Inspection) -> Result<(), factum::read::ReadError>
        ) -> (), factum::read::ReadError);
    };
}

/// The same in an `impl Bus`.
macro_rules! bus_passes_on {
    ($inner:tt $($call:ident)+) => { $(bus_passes_on!(@ $call $inner);)+ };
    (@ ensure_topics $inner:tt) => {
        passes_on!('a $inner ensure_topics(topics: &'a [factum::bus::TopicSpec]) -> ());
    };
    (@ partitions $inner:tt) => { passes_on!('a $inner partitions(topic: &'a str) -> u32); };
    (@ producer $inner:tt) => { passes_on!('a $inner producer() -> Box<dyn factum::bus::Producer>); };
    (@ consumer $inner:tt) => {
        passes_on!('a $inner consumer(options: factum::bus::ConsumerOptions) -> Box<dyn factum::bus::Consumer>);
    };
    (@ tail $inner:tt) => {
        passes_on!('a $inner tail(
            partition: &'a factum::bus::TopicPartition,
            below: Option<factum::bus::Offset>
        ) -> Option<factum::bus::Record>);
    };
    (@ close $inner:tt) => { passes_on!('a $inner close() -> ()); };
}

/// One call, as its trait has it.
macro_rules! passes_on {
    ([$($inner:tt)+] $call:ident($($given:ident: $of:ty),*) -> $answer:ty, $error:ty) => {
        fn $call(&self, $($given: $of),*) -> Result<$answer, $error> {
            self.$($inner)+.$call($($given),*)
        }
    };
    ($a:lifetime [$($inner:tt)+] $call:ident($($given:ident: $of:ty),*) -> $answer:ty) => {
        fn $call<$a>(&$a self, $($given: $of),*) -> factum::store::BoxFuture<$a, Result<$answer, factum::bus::BusError>> {
            self.$($inner)+.$call($($given),*)
        }
    };
}

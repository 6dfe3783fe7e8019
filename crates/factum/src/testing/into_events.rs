//! How tests write lists of facts.

/// Facts of one kind in an array or a vector, or of several kinds in a tuple: `(opened(), deposited(100))`.
pub trait IntoEvents<E> {
    /// The facts as events, in order.
    fn into_events(self) -> Vec<E>;
}

impl<E, F: Into<E>, const N: usize> IntoEvents<E> for [F; N] {
    fn into_events(self) -> Vec<E> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<E, F: Into<E>> IntoEvents<E> for Vec<F> {
    fn into_events(self) -> Vec<E> {
        self.into_iter().map(Into::into).collect()
    }
}

macro_rules! tuples_of_facts {
    ($($fact:ident)+) => {
        impl<Event, $($fact: Into<Event>),+> IntoEvents<Event> for ($($fact,)+) {
            #[expect(non_snake_case, reason = "the names of the types serve as those of the values")]
            fn into_events(self) -> Vec<Event> {
                let ($($fact,)+) = self;
                vec![$($fact.into()),+]
            }
        }
    };
}

tuples_of_facts!(A);
tuples_of_facts!(A B);
tuples_of_facts!(A B C);
tuples_of_facts!(A B C D);
tuples_of_facts!(A B C D E);
tuples_of_facts!(A B C D E F);
tuples_of_facts!(A B C D E F G);
tuples_of_facts!(A B C D E F G H);

//! What becomes of records by what the brokers said of them: pure.

/// Records that were sent, by what becomes of them.
#[derive(Debug)]
pub(crate) struct Sent<T, E> {
    /// The brokers have them.
    pub(crate) acknowledged: Vec<T>,
    /// They may or may not have them: to be sent again.
    pub(crate) again: Vec<T>,
    /// They never fit or are refused, and why.
    pub(crate) refused: Vec<(T, E)>,
}

impl<T, E> Sent<T, E> {
    /// Of up to so many records.
    pub(crate) fn with_capacity(records: usize) -> Self {
        Self {
            acknowledged: Vec::with_capacity(records),
            again: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// Takes note of a record. `None`: nothing was heard of it. What is not said to be there, or refused for good, is
    /// sent again: that it failed does not say that it is not there.
    pub(crate) fn note(&mut self, record: T, said: Option<Result<(), E>>, is_retriable: impl FnOnce(&E) -> bool) {
        match said {
            Some(Ok(())) => self.acknowledged.push(record),
            Some(Err(error)) if !is_retriable(&error) => self.refused.push((record, error)),
            Some(Err(_)) | None => self.again.push(record),
        }
    }
}

impl<T, E> Extend<Self> for Sent<T, E> {
    fn extend<I: IntoIterator<Item = Self>>(&mut self, more: I) {
        for Self {
            acknowledged,
            again,
            refused,
        } in more
        {
            self.acknowledged.extend(acknowledged);
            self.again.extend(again);
            self.refused.extend(refused);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_acknowledged_is_done_and_only_what_is_refused_for_good_is_not_sent_again() {
        let mut sent: Sent<&str, bool> = Sent::with_capacity(4);
        let is_retriable = |error: &bool| *error;
        sent.note("there", Some(Ok(())), is_retriable);
        sent.note("failed", Some(Err(true)), is_retriable);
        sent.note("too large", Some(Err(false)), is_retriable);
        sent.note("silence", None, is_retriable);
        assert_eq!(sent.acknowledged, ["there"]);
        assert_eq!(sent.again, ["failed", "silence"]);
        assert_eq!(sent.refused, [("too large", false)]);
    }
}
